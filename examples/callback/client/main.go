// Command client is called back: it has no listener, and no port that anybody could
// reach.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/callback"
)

// Ear is the client's object.
type Ear struct{}

func (Ear) Hear(from, text string) error {
	if strings.HasSuffix(text, "!!!") {
		return fmt.Errorf("%w: %q", callback.ErrTooLoud, text)
	}
	fmt.Println("Heard from", from+":", text)
	return nil
}

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/hall", "URI of the object")
	name := flag.String("name", "alice@bank.example", "whose certificate in pki is used")
	listen := flag.Bool("listen", false, "only listen, until ^C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	mine, err := certs.Load("pki/"+*name+".crt", "pki/"+*name+".key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(mine), Errors: callback.Errors})
	check(err)
	defer client.Close()
	hall, err := client.Proxy(ctx, *uri)
	check(err)

	// The server calls the ear while this program waits for its answer. What fails in the
	// ear is told to the server and, with CallbackErrors, to this side.
	failures := make(chan error, 10)
	ear := broker.Callback("ear", Ear{}, broker.CallbackErrors(func(method string, err error) { failures <- err }))
	check(hall.Call(ctx, "Listen", nil, ear))
	if *listen {
		fmt.Println("Listening")
		<-ctx.Done()
		return
	}
	var heard int
	check(hall.Call(ctx, "Shout", &heard, "hello"))
	fmt.Println("Who heard it:", heard)

	err = hall.Call(ctx, "Shout", &heard, "hello!!!")
	fmt.Println("My ear says:", <-failures)
	fmt.Println("The server says the same:", errors.Is(err, callback.ErrTooLoud))

	var there int
	bouncer := new(callback.Bouncer)
	check(hall.Call(ctx, "Bounce", &there, broker.Callback("bouncer", bouncer)))
	fmt.Println("Bounced", there, "times there and", bouncer.Count.Load(), "times here")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
