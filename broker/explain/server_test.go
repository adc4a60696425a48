package explain_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker/explain"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// serverLeaf is a good one for host.
func serverLeaf() testca.Leaf { return testca.Leaf{CN: host, DNS: []string{host}, EKU: serverAuth} }

// with explains a server that would be a daemon if its certificate were another one.
func (w *world) with(change func(*testca.Leaf)) explain.Options {
	leaf := serverLeaf()
	change(&leaf)
	return w.at(w.strict(w.ca.Issue(w, leaf)))
}

// strict is a server of a certificate that no client takes.
func (w *world) strict(p testca.Pair) net.Addr { return w.tls(p, func(*tls.Config) {}) }

// TestServerCertificate has what is wrong with what a server shows, by what a client trusts.
func TestServerCertificate(t *testing.T) {
	for _, s := range []sabotage{
		{
			name: "unknown authority", step: "chain", who: explain.Client, want: explain.Denied,
			texts: []string{"issued by", "which we do not trust", "testca root", "ca.crt", "certificate 1: dns:bank.example", "certificate 2: authority"},
			world: func(w *world) explain.Options { return w.at(w.strict(testca.New(w).Server(w, host))) },
		},
		{
			name: "authority made anew under the same name", step: "chain", who: explain.Client, want: explain.Denied,
			texts: []string{"its key is another one", "it was made anew", "get the new certificate of", "ca.crt"},
			world: func(w *world) explain.Options {
				other := testca.New(w)
				w.write("ca.crt", renamed(w, other).pem())
				return w.at(w.strict(other.Server(w, host)))
			},
		},
		{
			name: "self-signed", step: "chain", who: explain.Server, want: explain.Denied,
			texts: []string{"self-signed", "that an authority has issued"},
			world: func(w *world) explain.Options { return w.at(w.strict(w.ca.SelfSigned(w, serverLeaf()))) },
		},
		{
			name: "intermediate missing, and we know it", step: "chain", who: explain.Server, want: explain.Denied,
			texts: []string{"sent no intermediate", "by which our own certificate was issued, too", "after its own"},
			world: func(w *world) explain.Options {
				p := w.ca.Server(w, host)
				p.Chain = p.Chain[:1]
				return w.at(w.strict(p))
			},
		},
		{
			name: "one certificate of an issuer that nobody knows", step: "chain", who: explain.Server, want: explain.Denied,
			texts: []string{"if CN=testca intermediate", "is an intermediate", "client: if CN=testca intermediate"},
			world: func(w *world) explain.Options {
				p := testca.New(w).Server(w, host)
				p.Chain = p.Chain[:1]
				return w.at(w.strict(p))
			},
		},
		{
			name: "intermediate of another authority", step: "chain", who: explain.Server, want: explain.Denied,
			texts: []string{"certificates that belong together"},
			world: func(w *world) explain.Options {
				p := testca.New(w).Server(w, host)
				p.Chain[1] = testca.New(w).IntermediateCert()
				return w.at(w.strict(p))
			},
		},
		{
			name: "expired", step: "dates", who: explain.Server, want: explain.Denied,
			texts: []string{"it expired on", "it ended 3 days ago", "this machine's clock says", "ahead by more than 3 days"},
			world: func(w *world) explain.Options {
				return w.with(func(l *testca.Leaf) { l.NotAfter = time.Now().Add(-75 * time.Hour) })
			},
		},
		{
			name: "not valid yet", step: "dates", who: explain.Client, want: explain.Denied,
			texts: []string{"it is not valid before", "in 5 hours", "the clocks differ by at least that", "authority: set its clock"},
			world: func(w *world) explain.Options {
				return w.with(func(l *testca.Leaf) { l.NotBefore = time.Now().Add(5*time.Hour + time.Minute) })
			},
		},
		{
			name: "for clients only", step: "purpose", who: explain.Authority, want: explain.Denied,
			texts: []string{"is for clientAuth", "serverAuth"},
			world: func(w *world) explain.Options { return w.with(func(l *testca.Leaf) { l.EKU = clientAuth }) },
		},
		{
			name: "for no purpose", step: "purpose", who: explain.Authority, want: explain.Denied,
			texts: []string{"names no purpose", "serverAuth"},
			world: func(w *world) explain.Options { return w.with(func(l *testca.Leaf) { l.EKU = nil }) },
		},
		{
			name: "an authority's own", step: "purpose", who: explain.Authority, want: explain.Denied,
			texts: []string{"CA:TRUE"},
			world: func(w *world) explain.Options { return w.with(func(l *testca.Leaf) { l.IsCA = true }) },
		},
		{
			name: "near miss", step: "name", who: explain.Client, want: explain.Denied,
			texts: []string{`did you mean "bank.exampel"?`, "use the name bank.exampel in the URI", "server: have the certificate issued again with bank.example"},
			world: func(w *world) explain.Options {
				return w.with(func(l *testca.Leaf) { l.DNS = []string{"bank.exampel"} })
			},
		},
		{
			name: "another host", step: "name", who: explain.Server, want: explain.Denied,
			texts: []string{"dns:warehouse.other", "dns:bank.example among its names", "?id="},
			world: func(w *world) explain.Options {
				return w.with(func(l *testca.Leaf) { l.DNS = []string{"warehouse.other"} })
			},
		},
		{
			name: "common name only", step: "name", who: explain.Server, want: explain.Denied,
			texts: []string{`common name "bank.example"`, "a common name does not count", "mkcerts issue"},
			world: func(w *world) explain.Options { return w.with(func(l *testca.Leaf) { l.DNS = nil }) },
		},
		{
			name: "address without an IP name", step: "name", who: explain.Client, want: explain.Denied,
			texts: []string{"ip:127.0.0.1 among its names", "use a name it has (bank.example)", "use the name bank.example in the URI", "mkcerts issue --ip 127.0.0.1"},
			world: func(w *world) explain.Options {
				addr := w.strict(w.ca.Server(w, host))
				return w.options(fmt.Sprintf("PYROSSL://127.0.0.1:%s/bank", port(addr)))
			},
		},
		{
			name: "address as a DNS name", step: "name", who: explain.Server, want: explain.Denied,
			texts: []string{"it has the address as a DNS name, where it does not count"},
			world: func(w *world) explain.Options {
				addr := w.strict(w.ca.Issue(w, testca.Leaf{DNS: []string{"127.0.0.1"}, EKU: serverAuth}))
				return w.options(fmt.Sprintf("PYROSSL://127.0.0.1:%s/bank", port(addr)))
			},
		},
		{
			name: "host without the name of its address", step: "name", who: explain.Server, want: explain.Denied,
			texts: []string{"ip:127.0.0.1", "dns:bank.example among its names"},
			world: func(w *world) explain.Options {
				return w.with(func(l *testca.Leaf) { l.DNS, l.IPs = nil, []netip.Addr{netip.MustParseAddr("127.0.0.1")} })
			},
		},
		{
			name: "wildcard over two labels", step: "name", who: explain.Server, want: explain.Denied,
			texts: []string{"*.example stands for exactly one label"},
			world: func(w *world) explain.Options {
				leaf := serverLeaf()
				leaf.DNS = []string{"*.example"}
				addr := w.strict(w.ca.Issue(w, leaf))
				return w.options(fmt.Sprintf("PYROSSL://vault.bank.example:%s/bank", port(addr)))
			},
		},
		{
			name: "pin", step: "pin", who: explain.Client, want: explain.Denied,
			texts: []string{"server identity uri:spiffe://bank.example/teller", "uri:spiffe://bank.example/vault", "do not connect until you know"},
			world: func(w *world) explain.Options {
				leaf := serverLeaf()
				leaf.URIs = []string{"spiffe://bank.example/vault"}
				o := w.at(w.strict(w.ca.Issue(w, leaf)))
				o.URI += "?id=spiffe://bank.example/teller"
				return o
			},
		},
		{
			name: "revoked", step: "revocation", who: explain.Server, want: explain.Denied,
			texts: []string{"was revoked on", "number 7", "new certificate and a new key"},
			world: func(w *world) explain.Options {
				p := w.ca.Server(w, host)
				o := w.at(w.strict(p))
				o.CRLs = w.crl(testca.List{Number: 7, Revoked: p.Chain[:1]})
				return o
			},
		},
		{
			name: "on our deny list", step: "revocation", who: explain.Server, want: explain.Denied,
			texts: []string{"is on the deny list (number 1)"},
			world: func(w *world) explain.Options {
				o := w.at(w.strict(w.ca.Server(w, host)))
				w.write("deny", []byte("number 1\nprincipal dns:"+host+"\n"))
				o.DenyList = w.path("deny")
				return o
			},
		},
	} {
		t.Run(s.name, s.run)
	}
}

// TestOwnFiles has what is wrong on the client's side before anything is sent.
func TestOwnFiles(t *testing.T) {
	for _, s := range []sabotage{
		{
			name: "key of another certificate", step: "certificate", who: explain.Client, want: explain.Failed,
			texts: []string{"private key does not match", "client.key", "issue a new pair"},
			world: func(w *world) explain.Options {
				w.write("client.key", w.ca.Client(w, "alice@bank.example").KeyPEM())
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "encrypted key", step: "certificate", who: explain.Client, want: explain.Failed,
			texts: []string{"encrypted with a passphrase", "openssl pkey -in"},
			world: func(w *world) explain.Options {
				w.write("client.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("it does not come to reading this")}))
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "key that others can read", step: "certificate", who: explain.Client, want: explain.Failed,
			texts: []string{"mode 0644, want 0600", "chmod 600"},
			world: func(w *world) explain.Options {
				if err := os.Chmod(w.path("client.key"), 0o644); err != nil {
					w.Fatal(err)
				}
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "no such file", step: "certificate", who: explain.Client, want: explain.Failed,
			texts: []string{"none.crt", "does not exist"},
			world: func(w *world) explain.Options {
				o := w.at(w.daemon(nil))
				o.Cert = w.path("none.crt")
				return o
			},
		},
		{
			name: "expired", step: "certificate", who: explain.Client, want: explain.Denied,
			texts: []string{"our own certificate for email:alice@bank.example: it expired on", "it expired 26 hours ago", "mkcerts renew"},
			world: func(w *world) explain.Options {
				w.client(w.ca.Issue(w, testca.Leaf{Emails: []string{"alice@bank.example"}, EKU: clientAuth, NotAfter: time.Now().Add(-26*time.Hour - time.Minute)}))
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "not valid yet", step: "certificate", who: explain.Client, want: explain.Denied,
			texts: []string{"it is not valid before", "in 3 hours", "this clock is behind the authority's by that much", "it says "},
			world: func(w *world) explain.Options {
				w.client(w.ca.Issue(w, testca.Leaf{Emails: []string{"alice@bank.example"}, EKU: clientAuth, NotBefore: time.Now().Add(3*time.Hour + time.Minute)}))
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "for servers only", step: "certificate", who: explain.Client, want: explain.Denied,
			texts: []string{"is for serverAuth", "clientAuth", "mkcerts issue NAME --client"},
			world: func(w *world) explain.Options {
				w.client(w.ca.Issue(w, testca.Leaf{Emails: []string{"alice@bank.example"}, EKU: serverAuth}))
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "an authority's own", step: "certificate", who: explain.Client, want: explain.Denied,
			texts: []string{"CA:TRUE", "issued to a program"},
			world: func(w *world) explain.Options {
				w.client(w.ca.Issue(w, testca.Leaf{CN: "ca", EKU: clientAuth, IsCA: true}))
				return w.at(w.daemon(nil))
			},
		},
		{
			name: "list of no use", step: "lists", who: explain.Client, want: explain.Failed,
			texts: []string{"list.crl"},
			world: func(w *world) explain.Options {
				o := w.at(w.daemon(nil))
				w.write("list.crl", w.ca.RootPEM())
				o.CRLs = []string{w.path("list.crl")}
				return o
			},
		},
		{
			name: "stale list", step: "lists", who: explain.Client, warns: true, want: explain.Denied,
			texts: []string{"a list is stale", "number 3", "; 2 days old", "put the authority's newest list in its place"},
			world: func(w *world) explain.Options {
				o := w.at(w.daemon(nil))
				now := time.Now()
				o.CRLs = w.crl(testca.List{Number: 3, ThisUpdate: now.Add(-49*time.Hour - time.Minute), NextUpdate: now.Add(-25 * time.Hour)})
				return o
			},
		},
	} {
		t.Run(s.name, s.run)
	}
}

// TestAllFaultsAtOnce is a server with four, in one report.
func TestAllFaultsAtOnce(t *testing.T) {
	w := newWorld(t)
	o := w.at(w.strict(testca.New(t).Issue(t, testca.Leaf{DNS: []string{"warehouse.other"}, EKU: clientAuth, NotAfter: time.Now().Add(-time.Hour)})))
	report := explain.Run(t.Context(), o)
	for _, name := range []string{"chain", "dates", "purpose", "name"} {
		if s := report.Step(name); s.State != explain.Fail {
			t.Errorf("step %s: %s, want it to fail: %s", name, s.State, s.Got)
		}
	}
	for _, name := range []string{"revocation", "verdict", "identity", "policy", "daemon"} {
		if s := report.Step(name); s.State != explain.Skipped {
			t.Errorf("step %s: %s, want it to be skipped: %s", name, s.State, s.Got)
		}
	}
	if f := report.Failure(); f.Name != "chain" {
		t.Errorf("%s failed first, want chain", f.Name)
	}
}

// TestStaleListRefusesServer: what a stale list costs is said at the step for it.
func TestStaleListRefusesServer(t *testing.T) {
	w := newWorld(t)
	o := w.at(w.daemon(nil))
	o.CRLs = w.crl(testca.List{Number: 3, ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour)})
	s := explain.Run(t.Context(), o).Step("revocation")
	if s.State != explain.Fail || s.Fixes[0].Who != explain.Client || s.Fixes[1].Who != explain.Authority {
		t.Errorf("%+v", s)
	}
}

// crl is a revocation list in a file, for the client.
func (w *world) crl(l testca.List) []string {
	w.write("list.crl", testca.CRLPEM(w.ca.CRL(w, l)))
	return []string{w.path("list.crl")}
}

// root is an authority's certificate.
type root struct{ *x509.Certificate }

func (r root) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.Raw})
}

// renamed is a root with the name of ca's root and another key.
func renamed(w *world, ca *testca.CA) root {
	p := ca.SelfSigned(w, testca.Leaf{IsCA: true, Modify: func(c *x509.Certificate) {
		c.Subject, c.KeyUsage = ca.RootCert().Subject, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	}})
	return root{p.Chain[0]}
}
