// Command client lists the files of server, gets one or puts one there:
//
//	client ls
//	client get NAME
//	client put FILE
//
// A transfer that was interrupted goes on where it stopped when the same command is given
// again.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/filetransfer"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/store", "URI of the store")
	name := flag.String("name", "alice@bank.example", "whose certificate in pki is used")
	limit := flag.Int("limit", 0, "most KiB per second; 0 for as fast as it goes")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: client [flags] ls | get NAME | put FILE")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	mine, err := certs.Load("pki/"+*name+".crt", "pki/"+*name+".key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine), Errors: filetransfer.Errors})
	check(err)
	defer client.Close()
	store, err := client.Proxy(ctx, *uri, broker.Idempotent("List", "Stat", "Have"))
	check(err)
	t := &transfer{store: store, limit: *limit << 10}

	switch {
	case flag.NArg() == 1 && flag.Arg(0) == "ls":
		check(list(ctx, store))
	case flag.NArg() == 2 && flag.Arg(0) == "get":
		check(t.get(ctx, flag.Arg(1)))
	case flag.NArg() == 2 && flag.Arg(0) == "put":
		check(t.put(ctx, flag.Arg(1)))
	default:
		flag.Usage()
		os.Exit(2)
	}
}

func list(ctx context.Context, store *broker.Proxy) error {
	var files []filetransfer.File
	if err := store.Call(ctx, "List", &files); err != nil {
		return err
	}
	for _, f := range files {
		fmt.Println(f.Size, f.Name)
	}
	return nil
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
