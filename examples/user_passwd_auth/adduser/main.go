// Command adduser reads a passphrase and adds a user to the file of server. The file
// holds salted keys: nobody can log in with them, or compute the passphrase.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"os"

	"github.com/pyrossl/pyrossl/validator"
)

func main() {
	log.SetFlags(0)
	file := flag.String("file", "pki/users.txt", "file to add to")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: adduser [-file FILE] NAME")
	}
	name := flag.Arg(0)

	fmt.Println("A passphrase for", name+", please:")
	input := bufio.NewScanner(os.Stdin)
	input.Scan()
	stored, err := validator.Munge(0, validator.Login{Name: name, Passphrase: validator.Passphrase(input.Text())})
	check(err)
	out, err := os.OpenFile(*file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	check(err)
	_, err = fmt.Fprintln(out, name, stored[0].Text())
	check(err)
	check(out.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
