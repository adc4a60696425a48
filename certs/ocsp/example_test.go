package ocsp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/certs/ocsp"
)

// A server asks after it has verified the chain, within the time that it gives to
// newcomers anyway.
func ExampleChecker_Check() {
	checker, err := ocsp.New(ocsp.Config{Mode: ocsp.HardFail, Report: func(err error) { fmt.Println(err) }})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer checker.Close()
	admit := func(ctx context.Context, conn *tls.Conn, m *certs.Material) error {
		chain, err := certs.VerifyPeer(conn.ConnectionState().PeerCertificates, m, certs.ClientAuth, time.Now())
		if err != nil {
			return err
		}
		if denial := checker.Check(ctx, chain); denial != nil {
			return denial
		}
		return nil
	}
	_ = admit
}

func ExampleNew() {
	_, err := ocsp.New(ocsp.Config{})
	fmt.Println(err)
	// Output:
	// ocsp: Config.Mode says nothing, want HardFail or SoftFail: what happens to a peer when no responder answers
}
