package certs_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/pyrossl/pyrossl/certs"
)

// A key shows itself nowhere, so that a structure with one in it can be logged.
func ExamplePrivateKey() {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	key, err := certs.NewPrivateKey(signer)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%v %+v %#v %x\n", key, key, key, *key)
	// Output: [private key] [private key] [private key] [private key]
}

// Errors say what the data is, and what to do.
func ExampleParseCertificates() {
	_, err := certs.ParseCertificates([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	fmt.Println(err)
	// Output: certs: line 1: holds a certificate request, want certificate (have an authority sign it first)
}

// A server follows its files and uses whatever replaces them.
func ExampleServerConfig() {
	src, err := certs.Files(certs.FilesConfig{
		Cert: "pki/bank.crt", Key: "pki/bank.key", CA: "pki/ca.crt", Purpose: certs.ServerAuth,
		Report: func(s certs.Status) { log.Println("certificate", s.Generation, "until", s.NotAfter, s.LastError) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()
	config, err := certs.ServerConfig(src)
	if err != nil {
		log.Fatal(err)
	}
	l, err := tls.Listen("tcp", ":7766", config)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
}

// A client asks for its settings at every dial, and explains what went wrong.
func ExampleClientConfig() {
	m, err := certs.Load("pki/alice.crt", "pki/alice.key", "pki/ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	expect := certs.Expect{Host: "bank.example"}
	config, err := certs.ClientConfig(certs.Static(m), expect)
	if err != nil {
		log.Fatal(err)
	}
	raw, err := net.Dial("tcp", "bank.example:7766")
	if err != nil {
		log.Fatal(err)
	}
	conn := tls.Client(raw, config)
	defer conn.Close()
	// The server's verdict on our certificate arrives with the first read.
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		if d := certs.Refusal(err, m, expect); d != nil {
			log.Fatalf("refused: %s; wanted: %s", d.Got, d.Want)
		}
		log.Fatal(err)
	}
}

// A daemon that keeps its promise to live connections: each is checked again when the
// material changes, and when the reasons for it run out.
func ExampleValidUntil() {
	source, err := certs.Files(certs.FilesConfig{
		Cert: "pki/bank.example.crt", Key: "pki/bank.example.key", CA: "pki/ca.crt", Purpose: certs.ServerAuth,
		CRLs: []string{"pki/intermediate.crl"}, DenyList: "pki/deny",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer source.Close()
	config, err := certs.ServerConfig(source, certs.RecheckAfterHandshake())
	if err != nil {
		fmt.Println(err)
		return
	}
	serve := func(conn *tls.Conn) {
		defer conn.Close()
		if conn.Handshake() != nil {
			return
		}
		for {
			changed, m := source.Changed(), source.Current()
			chain, err := certs.VerifyPeer(conn.ConnectionState().PeerCertificates, m, certs.ClientAuth, time.Now())
			if err != nil {
				fmt.Fprintln(conn, "denied:", certs.ServerRefusal(err, m))
				return
			}
			select {
			case <-changed:
			case <-time.After(time.Until(certs.ValidUntil(chain, m)) + 1):
			}
		}
	}
	_, _ = config, serve
}

func ExampleParseDenyList() {
	list, err := certs.ParseDenyList([]byte(`
number 3
serial 1f2a                                  # a test that went wrong
principal uri:spiffe://bank.example/teller   # left the company
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(list.Len(), "entries")
	_, err = certs.ParseDenyList([]byte("number 4\nuser alice\n"))
	fmt.Println(err)
	// Output:
	// 2 entries
	// certs: line 2: begins with "user", want number, issued, max-age, serial, key, ca or principal
}
