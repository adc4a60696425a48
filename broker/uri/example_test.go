package uri_test

import (
	"errors"
	"fmt"

	"github.com/pyrossl/pyrossl/broker/uri"
)

func ExampleParse() {
	u, err := uri.Parse("PYROSSL://Bank.example/bank?id=spiffe://bank.example/teller")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(u.Object, "at", u.Address(), "which must be", u.ID)
	fmt.Println(u)
	// Output:
	// bank at bank.example:7766 which must be uri:spiffe://bank.example/teller
	// PYROSSL://bank.example:7766/bank?id=uri:spiffe://bank.example/teller
}

func ExampleParse_plaintext() {
	_, err := uri.Parse("PYRO://bank.example:7766/bank")
	fmt.Println(errors.Is(err, uri.ErrPlaintext))
	fmt.Println(err)
	// Output:
	// true
	// uri: scheme "PYRO" in "PYRO://bank.example:7766/bank" is plaintext, for which there is no path here; serve the object over TLS and use PYROSSL://
}

func ExampleURI_Check() {
	u := uri.URI{Scheme: uri.PYROSSL, Host: "bank.example", Port: 7766, Object: "a/b"}
	fmt.Println(u.Check())
	// Output:
	// uri: object "a/b" in "PYROSSL://bank.example:7766/a/b" has a "/": want one object, not a path
}
