package broker_test

import (
	"errors"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// TestResumption: sessions are resumed only if both sides want it, and who was revoked
// since gets in no more than with a full handshake.
func TestResumption(t *testing.T) {
	for _, both := range []bool{false, true} {
		src := new(swapped)
		resumed := 0
		w := newWorld(t, func(c *broker.Config) {
			src.p.Store(c.Certs.Current())
			c.Certs, c.ResumeSessions = src, both
		})
		if _, err := w.daemon.Register("bank", newBank()); err != nil {
			t.Fatal(err)
		}
		pair := w.ca.Client(t, "alice@bank.example")
		client := w.client("", func(c *broker.ClientConfig) {
			c.Certs, c.ResumeSessions = certs.Static(materialOf(t, pair, w.ca.RootCert())), true
		})
		p := w.proxy(client, w.uri("bank"))
		call := func() error {
			err := p.Call(t.Context(), "Nothing", nil)
			if w.daemon.Resumed() {
				resumed++
			}
			w.daemon.Disconnect()
			return err
		}
		for range 3 {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
		if want := map[bool]int{false: 0, true: 2}[both]; resumed != want {
			t.Errorf("with ResumeSessions %v on the daemon, %d connections were resumed, want %d", both, resumed, want)
		}
		g := &guarded{t: t, ca: w.ca, source: src}
		g.revoke(certs.RevocationConfig{CRLs: g.crl(w.ca, testca.List{Revoked: pair.Chain[:1]})})
		var denied *broker.ConnectionDeniedError
		if err := call(); !errors.As(err, &denied) || denied.Check != validator.CheckRevocation {
			t.Errorf("after the revocation: %v", err)
		}
	}
}
