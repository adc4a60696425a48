package attack

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// causes are all that are tried.
func causes(t *testing.T, ca, other *pki) []cause {
	alice := ca.Client(t, "alice@bank.example")
	var all []cause
	for _, b := range badClients(t, ca, other) {
		all = append(all, certificateCause(b))
	}
	for _, more := range [][]cause{
		hostCauses(alice), handshakeCauses(t, ca, alice), serverCauses(t, ca, other, alice), revocationCauses(t, ca, alice),
		admissionCauses(other, alice), identificationCauses(alice), busyCauses(alice), timeCauses(alice), callCauses(alice),
	} {
		all = append(all, more...)
	}
	return all
}

// certificateCause is a client's certificate that is no good. Our own client would not
// dial with some of them.
func certificateCause(b bad) cause {
	told := b.got
	switch {
	case b.name == "another CA", b.name == "missing intermediate":
		told = "does not trust who issued our certificate for "
	case b.name == "self-signed":
		told = "it is self-signed"
	}
	return cause{name: b.name, check: b.check, code: validator.DeniedSecurity, got: told, wordless: b.alert != "", prepare: func(s *scene) func(*attempt) error {
		s.admitting(validator.Config{Identities: staff(s)})
		return func(a *attempt) error {
			if b.own {
				return a.raw(b.pair, reckless(b.pair))
			}
			return a.call(b.pair, "Guarded", nil)
		}
	}}
}

// refusedWith is a cause for which a client of ours with a good certificate is refused by
// a validator of that configuration.
func refusedWith(name string, check validator.Check, code validator.Code, got string, p testca.Pair, v validator.Config) cause {
	return cause{name: name, check: check, code: code, got: got, prepare: func(s *scene) func(*attempt) error {
		s.admitting(v)
		return func(a *attempt) error { return a.call(p, "Guarded", nil) }
	}}
}

func hostCauses(alice testca.Pair) []cause {
	return []cause{
		refusedWith("address denied", validator.CheckHost, validator.DeniedHostBlocked, "127.0.0.1", alice, validator.Config{DenyHosts: []string{"127.0.0.1"}}),
		refusedWith("address not allowed", validator.CheckHost, validator.DeniedHostBlocked, "127.0.0.1", alice, validator.Config{AllowHosts: []string{"127.0.0.9", "192.0.2.0/24"}}),
	}
}

// handshakeCauses are TLS settings that a daemon does not take.
func handshakeCauses(t *testing.T, ca *pki, alice testca.Pair) []cause {
	raw := func(name string, check, daemon validator.Check, got string, p testca.Pair, change func(*tls.Config)) cause {
		return cause{name: name, check: check, code: validator.DeniedSecurity, got: got, daemon: daemon, wordless: true, prepare: func(s *scene) func(*attempt) error {
			s.open(nil)
			return func(a *attempt) error {
				config := reckless(p)
				change(config)
				return a.raw(p, config)
			}
		}}
	}
	stolen := testca.Pair{Chain: alice.Chain, Key: ca.signerOf(t, "signer")}
	nobody := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }
	return []cause{
		raw("TLS 1.2", validator.CheckProtocol, "", "does not speak", alice, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }),
		raw("no key exchange in common", validator.CheckProtocol, "", "no TLS settings in common", alice, func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP521} }),
		raw("another application protocol", validator.CheckALPN, "", "another application protocol", alice, func(c *tls.Config) { c.NextProtos = []string{"h2"} }),
		raw("no certificate", validator.CheckChain, "", "received no certificate from us", testca.Pair{}, func(c *tls.Config) { c.GetClientCertificate = nobody }),
		raw("a stolen certificate", validator.CheckChain, validator.CheckProtocol, "could not verify our signature", testca.Pair{}, func(c *tls.Config) {
			own := stolen.TLS()
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
		}),
		raw("no application protocol", validator.CheckChain, validator.CheckALPN, "the server's own checks refused our certificate", alice, func(c *tls.Config) { c.NextProtos = nil }),
	}
}

// serverCauses are what a client of ours refuses: the daemon learns of it by an alert.
func serverCauses(t *testing.T, ca, other *pki, alice testca.Pair) []cause {
	seen := func(name string, check, daemon validator.Check, got string, server testca.Pair, at func(w *world) string) cause {
		return cause{name: name, check: check, code: validator.DeniedSecurity, got: got, daemon: daemon, wordless: true, prepare: func(s *scene) func(*attempt) error {
			source := new(swapped)
			ours := material(s, s.ca.Server(s, "localhost"), s.ca.root)
			source.p.Store(ours)
			s.open(func(c *broker.Config) { c.Certs = source })
			source.p.Store(material(s, server, s.ca.root))
			s.relent = func() { source.p.Store(ours) }
			return func(a *attempt) error { return a.callAt(alice, at(s.w), "Guarded", nil) }
		}}
	}
	local := func(w *world) string { return w.uri("target") }
	good := ca.Server(t, "localhost")
	return []cause{
		seen("a server of another host", validator.CheckName, validator.CheckChain, "bank.example", ca.Server(t, "bank.example"), local),
		seen("a server of another authority", validator.CheckChain, "", "which we do not trust", other.Server(t, "localhost"), local),
		seen("a server with another identity", validator.CheckPin, validator.CheckChain, "dns:localhost", good, func(w *world) string { return w.uri("target") + "?id=spiffe://bank.example/other" }),
	}
}

func revocationCauses(t *testing.T, ca *pki, alice testca.Pair) []cause {
	revoked := func(name, got string, p testca.Pair, lists func(s *scene) certs.RevocationConfig) cause {
		return cause{name: name, check: validator.CheckRevocation, code: validator.DeniedSecurity, got: got, prepare: func(s *scene) func(*attempt) error {
			source := new(swapped)
			source.p.Store(material(s, s.ca.Server(s, "localhost"), s.ca.root))
			s.open(func(c *broker.Config) { c.Certs = source })
			source.revoke(s, lists(s))
			s.relent = func() { source.revoke(s, certs.RevocationConfig{}) }
			return func(a *attempt) error { return a.call(p, "Guarded", nil) }
		}}
	}
	denied := func(name, got, entry string) cause {
		return revoked(name, got, alice, func(s *scene) certs.RevocationConfig { return certs.RevocationConfig{Deny: denyList(s, entry)} })
	}
	leaf, bob := alice.Chain[0], ca.Client(t, "bob@bank.example") // who is on no list
	return []cause{
		revoked("serial number on the authority's list", "was revoked on", alice, func(s *scene) certs.RevocationConfig {
			return certs.RevocationConfig{CRLs: parseCRL(s, s.ca.crl(s, leaf))}
		}),
		revoked("the list is too old", "is stale", bob, func(s *scene) certs.RevocationConfig {
			list := s.ca.crl(s)
			return certs.RevocationConfig{CRLs: parseCRL(s, list), MaxAge: time.Nanosecond}
		}),
		revoked("no list of its authority", "there is no revocation list of its authority", alice, func(s *scene) certs.RevocationConfig {
			return certs.RevocationConfig{CRLs: parseCRL(s, s.other.crl(s))}
		}),
		denied("serial number denied", "its serial number is on the deny list", fmt.Sprintf("serial %x", leaf.SerialNumber)),
		denied("key denied", "its key is on the deny list", fmt.Sprintf("key %x", sha256.Sum256(leaf.RawSubjectPublicKeyInfo))),
		denied("name denied", "its name email:alice@bank.example is on the deny list", "principal email:alice@bank.example"),
		denied("authority denied", "the key of its authority", fmt.Sprintf("ca %x", sha256.Sum256(ca.signer.RawSubjectPublicKeyInfo))),
	}
}

// revoke puts other lists in force.
func (s *swapped) revoke(tb testing.TB, c certs.RevocationConfig) {
	tb.Helper()
	r, err := certs.NewRevocations(c)
	if err != nil {
		tb.Fatal(err)
	}
	m, err := s.Current().WithRevocations(r)
	if err != nil {
		tb.Fatal(err)
	}
	s.p.Store(m)
}

func denyList(tb testing.TB, entry string) *certs.DenyList {
	tb.Helper()
	list, err := certs.ParseDenyList([]byte("number 1\n" + entry + "   # a reason that no peer is told\n"))
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

func parseCRL(tb testing.TB, data []byte) []*certs.CRL {
	tb.Helper()
	lists, err := certs.ParseCRLs(data)
	if err != nil {
		tb.Fatal(err)
	}
	return lists
}

func admissionCauses(other *pki, alice testca.Pair) []cause {
	const secret = "an opinion that is for the daemon's log alone"
	own := func(name string, code validator.Code, got string, opinion func() error) cause {
		return cause{name: name, check: validator.CheckAdmission, code: code, got: got, prepare: func(s *scene) func(*attempt) error {
			s.open(func(c *broker.Config) {
				c.Validator = moody{admit(s, validator.Config{MaxConnections: 1000}), opinion}
			})
			return func(a *attempt) error {
				err := a.call(alice, "Guarded", nil)
				if strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
					s.Errorf("the client learns the daemon's cause: %v", err)
				}
				return err
			}
		}}
	}
	hook := func(name string, code validator.Code, got string, hook func() error) cause {
		return cause{name: name, check: validator.CheckAdmission, code: code, got: got, prepare: func(s *scene) func(*attempt) error {
			s.open(func(c *broker.Config) {
				c.OnConnect = func(_ context.Context, p *broker.Peer) error {
					if p.Identity.Name == "email:good@bank.example" {
						return nil
					}
					return hook()
				}
			})
			return func(a *attempt) error { return a.call(alice, "Guarded", nil) }
		}}
	}
	return []cause{
		refusedWith("not admitted", validator.CheckAdmission, validator.DeniedSecurity, "alice@bank.example", alice, validator.Config{Admit: []validator.Peer{validator.Named("email:good@bank.example")}}),
		refusedWith("vouched for by another authority", validator.CheckAdmission, validator.DeniedSecurity, "alice@bank.example", alice,
			validator.Config{Admit: []validator.Peer{validator.Named("email:good@bank.example"), validator.IssuedBy(validator.IssuerOf(other.root), validator.AnyIdentity())}}),
		own("refused by the daemon's own check", validator.DeniedUnspecified, "refused", func() error { return errors.New(secret) }),
		own("refused in the daemon's own words", validator.DeniedSecurity, "a caller outside hours", func() error {
			return &validator.Denial{Code: validator.DeniedSecurity, Got: "a caller outside hours", Want: "8 to 18", Err: errors.New(secret)}
		}),
		own("the daemon's own check panics", validator.DeniedSecurity, "a validator that failed", func() error { panic(secret) }),
		hook("the hook refuses", validator.DeniedUnspecified, "could not prepare", func() error { return errors.New(secret) }),
		hook("the hook panics", validator.DeniedUnspecified, "could not prepare", func() error { panic(secret) }),
	}
}

func identificationCauses(alice testca.Pair) []cause {
	pass := validator.Passphrase(canaries.passphrase("the passphrase that good people have"))
	wrong := validator.Passphrase(canaries.passphrase("the passphrase that somebody has guessed"))
	scram := func(name, got string, allowed []validator.Identification, try func(a *attempt) error) cause {
		return cause{name: name, check: validator.CheckIdentification, code: validator.DeniedSecurity, got: got, prepare: func(s *scene) func(*attempt) error {
			v := admit(s, validator.Config{MaxConnections: 1000})
			allow := func(ids []validator.Identification) {
				if err := v.SetAllowedIdentifications(ids); err != nil {
					s.Fatal(err)
				}
			}
			allow(allowed)
			s.relent = func() { allow(nil) }
			s.open(func(c *broker.Config) { c.Validator = v })
			return try
		}}
	}
	with := func(ident any) func(*attempt) error {
		return func(a *attempt) error {
			return a.call(alice, "Guarded", func(c *broker.ClientConfig) { c.Identification = ident })
		}
	}
	allowed := []validator.Identification{pass, validator.Login{Name: "alice", Passphrase: pass}}
	said := func(typ wire.Type, payload string) func(*attempt) error {
		return func(a *attempt) error {
			return a.raw(alice, reckless(alice), frameOf(typ, 0, 0, []byte(payload)))
		}
	}
	protocol := scram("another frame than an identification", "a call frame", allowed, said(wire.Call, "\x84"))
	long := scram("an identification that is too long", "bytes", allowed, said(wire.Ident, strings.Repeat("x", wire.MaxHandshake+1)))
	protocol.check, long.check = validator.CheckProtocol, validator.CheckProtocol
	own := scram("no identification", "", allowed, with(nil))
	own.wordless, own.daemon = true, validator.CheckProtocol // the client went away
	return []cause{
		protocol, long, own,
		scram("wrong passphrase", "", allowed, with(wrong)),
		scram("wrong passphrase with a name", "", allowed, with(validator.Login{Name: "alice", Passphrase: wrong})),
		scram("another's name", "", allowed, with(validator.Login{Name: "bob", Passphrase: pass})),
		scram("nobody is allowed", "", []validator.Identification{}, with(pass)),
		scram("an identification of zeros", "", allowed, said(wire.Ident, "\x00\x00\x00")),
		scram("an empty identification", "", allowed, said(wire.Ident, "")),
	}
}

// busyCauses fill a daemon's places first.
func busyCauses(alice testca.Pair) []cause {
	full := func(name, got string, v validator.Config) cause {
		return cause{name: name, check: validator.CheckBusy, code: validator.DeniedServerTooBusy, got: got, prepare: func(s *scene) func(*attempt) error {
			s.admitting(v)
			occupant := s.w.client(alice, nil)
			if err := s.w.proxy(occupant, "target").Call(s.Context(), "Nothing", nil); err != nil {
				s.Fatal(err)
			}
			s.relent = func() {
				occupant.Close()
				eventually(s, "the occupant is gone", func() bool { return s.w.metric("sessions") == "0" })
			}
			return func(a *attempt) error {
				err := a.call(alice, "Guarded", nil)
				var d *broker.ConnectionDeniedError
				if errors.As(err, &d) && (d.RetryAfter <= 0 || !d.Temporary()) {
					s.Errorf("%v says nothing of another attempt", d)
				}
				return err
			}
		}}
	}
	return []cause{
		full("no place is left", "1 connections already", validator.Config{MaxConnections: 1}),
		full("no place for this identity", "1 connections of this identity", validator.Config{MaxPerIdentity: 1}),
		full("no place for this address", "1 connections from this address", validator.Config{MaxPerAddress: 1}),
	}
}

// timeCauses take longer than a handshake may.
func timeCauses(alice testca.Pair) []cause {
	const budget = time.Second
	return []cause{
		{name: "a validator that waits", check: validator.CheckTimeout, slow: true, got: `no outcome of check "admission" in time`, prepare: func(s *scene) func(*attempt) error {
			s.open(func(c *broker.Config) {
				c.Validator, c.HandshakeTimeout = pauseless{admit(s, validator.Config{MaxConnections: 1000})}, budget
			})
			return func(a *attempt) error { return a.call(alice, "Guarded", nil) }
		}},
		{name: "a client that waits", check: validator.CheckTimeout, slow: true, got: "no identification within 1s", prepare: func(s *scene) func(*attempt) error {
			v := admit(s, validator.Config{MaxConnections: 1000})
			if err := v.SetAllowedIdentifications([]validator.Identification{validator.Passphrase(canaries.passphrase("asked for and not given in time"))}); err != nil {
				s.Fatal(err)
			}
			s.open(func(c *broker.Config) { c.Validator, c.HandshakeTimeout = v, budget })
			s.relent = func() {
				if err := v.SetAllowedIdentifications(nil); err != nil {
					s.Fatal(err)
				}
			}
			return func(a *attempt) error { return a.raw(alice, reckless(alice)) }
		}},
	}
}

// failing panics, or is denied.
type failing struct{}

func (failing) Panic(int)     { panic("a secret of the method") }
func (failing) Carry(int) any { return make(chan int) }

// callCauses are for calls of clients who may connect.
func callCauses(alice testca.Pair) []cause {
	call := func(name, object, method string, kind broker.Kind, got string, authorizer func(s *scene) validator.Authorizer) cause {
		return cause{name: name, kind: kind, got: got, prepare: func(s *scene) func(*attempt) error {
			s.open(func(c *broker.Config) {
				c.Validator = admit(s, validator.Config{MaxConnections: 1000})
				c.Authorizer = authorizer(s)
			})
			if _, err := s.w.daemon.Register("failing", failing{}); err != nil {
				s.Fatal(err)
			}
			return func(a *attempt) error {
				err := a.callAt(alice, s.w.uri(object), method, nil)
				if strings.Contains(fmt.Sprintf("%+v %#v", err, err), "a secret of") {
					s.Errorf("the client learns the daemon's cause: %v", err)
				}
				return err
			}
		}}
	}
	ruled := func(r ...validator.Rule) func(s *scene) validator.Authorizer {
		return func(s *scene) validator.Authorizer { return rules(s, r...) }
	}
	return []cause{
		call("a rule denies", "target", "Guarded", broker.KindDenied, "", ruled(allow("*"))),
		call("no rule allows", "target", "Echo", broker.KindDenied, "", ruled(allow("email:good@bank.example"))),
		call("no rule allows, no object either", "nothing", "Echo", broker.KindDenied, "", ruled(allow("email:good@bank.example"))),
		call("the authorizer panics", "target", "Guarded", broker.KindDenied, "the daemon's authorizer failed", func(*scene) validator.Authorizer { return panicky{} }),
		call("the method panics", "failing", "Panic", broker.KindInternal, "", ruled(allow("*"))),
		call("the result cannot be carried", "failing", "Carry", broker.KindInternal, "", ruled(allow("*"))),
	}
}

// panicky is an authorizer that fails for all but one.
type panicky struct{}

func (panicky) Authorize(_ context.Context, r validator.Request) validator.Decision {
	if r.Identity.Name != "email:good@bank.example" {
		panic("a secret of the authorizer")
	}
	return validator.Decision{Allowed: true}
}
