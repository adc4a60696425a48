package certs_test

import (
	"testing"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// BenchmarkConfigForHandshake is what following a source costs each handshake.
func BenchmarkConfigForHandshake(b *testing.B) {
	ca := testca.New(b)
	config := serverConfig(b, material(b, ca.Server(b, "bank.example"), ca))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := config.GetConfigForClient(nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClientConfig is what asking for new settings costs each dial.
func BenchmarkClientConfig(b *testing.B) {
	ca := testca.New(b)
	src := certs.Static(material(b, ca.Client(b, "alice@a.example"), ca))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := certs.ClientConfig(src, certs.Expect{Host: "bank.example"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect is a whole connection over loopback, both sides in this process.
func BenchmarkConnect(b *testing.B) {
	ca := testca.New(b)
	server := serverConfig(b, material(b, ca.Server(b, "bank.example"), ca))
	client := clientConfig(b, material(b, ca.Client(b, "alice@a.example"), ca), certs.Expect{Host: "bank.example"})
	for b.Loop() {
		if o := connect(b, server, client); o.client != nil || o.server != nil {
			b.Fatal(o.client, o.server)
		}
	}
}
