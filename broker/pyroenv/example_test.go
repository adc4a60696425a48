package pyroenv_test

import (
	"errors"
	"fmt"

	"github.com/pyrossl/pyrossl/broker/pyroenv"
)

// A program passes os.Environ.
func ExampleParse() {
	s, err := pyroenv.Parse([]string{
		"PYRO_HOST=0.0.0.0", "PYRO_PUBLISHHOST=bank.example", "PYRO_MAXMESSAGE=1MiB",
		"PYROSSL_CERTDIR=/etc/bank", "PYROSSL_CERT=bank.crt", "PYROSSL_KEY=bank.key", "PYROSSL_CA_CERT=ca.crt",
		"PYRO_SOCK_KEEPALIVE=1",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("listen on", s.Addr(), "and publish", s.PublishHost)
	fmt.Println(s.Cert, s.Key, s.CA)
	for _, note := range s.Ignored {
		fmt.Println(note)
	}
	// Output:
	// listen on 0.0.0.0:7766 and publish bank.example
	// /etc/bank/bank.crt /etc/bank/bank.key /etc/bank/ca.crt
	// PYRO_SOCK_KEEPALIVE has no effect: heartbeats inside the connection find dead peers
}

func ExampleParse_misspelt() {
	_, err := pyroenv.Parse([]string{"PYRO_MAXCONECTIONS=100"})
	fmt.Println(err)
	// Output:
	// pyroenv: PYRO_MAXCONECTIONS is not known; did you mean PYRO_MAXCONNECTIONS?
}

func ExampleParse_unsafe() {
	_, err := pyroenv.Parse([]string{"PYROSSL_POSTCONNCHECK=0"})
	fmt.Println(errors.Is(err, pyroenv.ErrUnsafe))
	fmt.Println(err)
	// Output:
	// true
	// pyroenv: PYROSSL_POSTCONNCHECK "0" would take any server for the one that was meant; the check of the host against the certificate is always made; unset it or set it to 1
}
