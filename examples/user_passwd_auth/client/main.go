// Command client reads a passphrase and logs in with it and a name.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

func main() {
	log.SetFlags(0)
	uri := flag.String("uri", "PYROSSL://localhost:7766/users", "URI of the object")
	login := flag.String("login", "irmen", "name to log in with")
	flag.Parse()
	ctx := context.Background()

	fmt.Println("The passphrase, please:")
	input := bufio.NewScanner(os.Stdin)
	input.Scan()
	mine, err := certs.Load("pki/alice@bank.example.crt", "pki/alice@bank.example.key", "pki/ca.crt")
	check(err)
	client, err := broker.NewClient(broker.ClientConfig{
		Certs:          certs.Static(mine),
		ConnectTimeout: time.Minute,
		Identification: validator.Login{Name: *login, Passphrase: validator.Passphrase(input.Text())},
	})
	check(err)
	defer client.Close()
	tester, err := client.Proxy(ctx, *uri)
	check(err)
	var answer string
	check(tester.Call(ctx, "WhoAmI", &answer))
	fmt.Println(answer)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
