package ca_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/certs/ca"
)

// A CA in memory, for a test or a program that needs certificates for its own parts.
func Example() {
	authority, err := ca.New(ca.Options{Name: "Bank CA", Permit: []string{"dns:bank.example", "email:bank.example"}})
	if err != nil {
		log.Fatal(err)
	}
	teller, err := authority.Issue(ca.Request{
		Name: "teller", SANs: []string{"email:teller@bank.example"}, Purposes: []ca.Purpose{ca.Client}, TTL: 8 * time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	material, err := teller.Material()
	if err != nil {
		log.Fatal(err)
	}
	source := certs.Static(material) // for broker.NewClient, or a daemon
	fmt.Println(source.Status().Names, "issued by", teller.Leaf().Issuer)

	_, err = authority.Issue(ca.Request{Name: "other", SANs: []string{"other.example"}, Purposes: []ca.Purpose{ca.Server}})
	fmt.Println(err)
	// Output:
	// [email:teller@bank.example] issued by CN=Bank CA intermediate
	// certs: the CA may not sign for dns:other.example: CN=Bank CA root is limited to dns:bank.example, email:bank.example (make another CA in a directory of its own)
}

// Certificates in files: made when they are missing, kept while they are good.
func ExampleEnsure() {
	dir, err := os.MkdirTemp("", "pki")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	request := ca.Request{Name: "bank", SANs: []string{"bank.example", "192.0.2.1"}, Purposes: []ca.Purpose{ca.Server}}
	for range 2 {
		res, err := ca.Ensure(dir, request, ca.EnsureOptions{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(filepath.Base(res.Cert), filepath.Base(res.Key), res.Action, res.Entry.SANs)
	}
	request.SANs = []string{"elsewhere.example"}
	_, err = ca.Ensure(dir, request, ca.EnsureOptions{})
	fmt.Println(errors.Is(err, ca.ErrDiffers))
	// Output:
	// bank.crt bank.key issued [dns:bank.example ip:192.0.2.1]
	// bank.crt bank.key up to date [dns:bank.example ip:192.0.2.1]
	// true
}
