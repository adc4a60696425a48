package validator

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/pyrossl/pyrossl/internal/testca"
)

// What parses prints as it was, and holds nothing that a name must not hold.
func FuzzParsePrincipal(f *testing.F) {
	for _, s := range []string{"uri:spiffe://bank.example/a", "dns:bank.example", "email:a@b.c", "cn:иван", "cn:\u0430dmin", "dns:A", "uri:a", "email:a@@b", "ip:1", "cn:*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrincipal(s)
		if err != nil {
			checkText(t, err.Error())
			return
		}
		if p.String() != s || p.Issuer != "" {
			t.Errorf("%q is read as %+v", s, p)
		}
		checkNameInvariants(t, p)
		if err := checkIdentityText(s); err != nil {
			t.Errorf("%q cannot stand in a rule: %v", s, err)
		}
	})
}

// checkText checks that a message is bounded and shows nothing but printable ASCII.
func checkText(t *testing.T, text string) {
	t.Helper()
	if len(text) > 4096 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || !unicode.IsPrint(r) }) {
		t.Errorf("a message that is not fit to be shown: %q", text)
	}
}

func checkNameInvariants(t *testing.T, p Principal) {
	t.Helper()
	limits := map[Kind]int{URI: maxURI, DNS: maxDNS, Email: maxEmail, CN: 4 * maxCN}
	if p.Value == "" || len(p.Value) > limits[p.Kind] || !utf8.ValidString(p.Value) {
		t.Errorf("%q is a name", p.Value)
	}
	for _, r := range p.Value {
		if r <= ' ' || r == '*' || !unicode.IsPrint(r) || p.Kind != CN && r > '~' {
			t.Errorf("%q is a name of kind %s, with %q in it", p.Value, p.Kind, r)
		}
	}
	if p.Kind == URI && strings.ContainsAny(p.Value, "%?#\\") {
		t.Errorf("%q is a URI", p.Value)
	}
	if (p.Kind == DNS || p.Kind == Email) && strings.HasSuffix(p.Value, ".") {
		t.Errorf("%q is a name", p.Value)
	}
}

// Whatever stands in the extension of a verified certificate: no panic, one spelling
// for each name, and an identity only where there is exactly one name.
func FuzzPrincipals(f *testing.F) {
	ca := testca.New(f)
	for _, leaf := range []testca.Leaf{{DNS: []string{"a.example"}}, {Emails: []string{"a@b.example"}}, {URIs: []string{"spiffe://a/b"}}, {CN: "a", DNS: []string{"*.a"}}} {
		c := ca.Issue(f, leaf).Chain[0]
		for _, e := range c.Extensions {
			if e.Id.Equal(oidSubjectAltName) {
				f.Add(e.Value, c.Subject.CommonName)
			}
		}
	}
	nul, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 2, Bytes: []byte("a\x00b")}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(nul, "\u0430dmin")
	base := ca.Client(f, "alice@bank.example").Chain[0]
	m := must(NewMapper(
		MapRule{Name: "a", Match: CN, Pattern: "(.+)", As: "$1"},
		MapRule{Name: "b", Match: DNS, Pattern: `(.+)\.example`, As: "$1"},
		MapRule{Name: "c", Match: URI, Pattern: `[a-z]+://([^/]+)/(.*)`, As: "$2"},
	))
	f.Fuzz(func(t *testing.T, san []byte, cn string) {
		leaf := *base
		leaf.Extensions = nil
		for _, e := range base.Extensions {
			if e.Id.Equal(oidSubjectAltName) {
				e.Value = san
			}
			leaf.Extensions = append(leaf.Extensions, e)
		}
		leaf.Subject.Names = nil
		if cn != "" {
			leaf.Subject.Names = append(leaf.Subject.Names, base.Subject.Names...)
			for i := range leaf.Subject.Names {
				leaf.Subject.Names[i].Value = cn
			}
		}
		chain := []*x509.Certificate{&leaf, ca.RootCert()}
		names, err := Principals(chain)
		if err != nil {
			checkText(t, err.Error())
		}
		if len(names) > maxNames {
			t.Errorf("%d names", len(names))
		}
		for _, p := range names {
			checkNameInvariants(t, p)
			if again, err := ParsePrincipal(p.String()); err != nil || !again.Matches(p) {
				t.Errorf("the certificate's %q is not in its one spelling: %v", p, err)
			}
		}
		id, err := (*Mapper)(nil).Identify(chain)
		if err != nil {
			checkText(t, err.Error())
		} else if len(names) != 1 || id.Principal != names[0] || id.Name != names[0].String() {
			t.Errorf("%v map to %+v", names, id)
		}
		if id, err := m.Identify(chain); err != nil {
			checkText(t, err.Error())
		} else if checkLabel(id.Name) != nil || checkGiven(id.Name, id.Principal) != nil {
			t.Errorf("%v map to the name %q", id.Principals, id.Name)
		}
	})
}

// A server that is fed with arbitrary messages does not panic and accepts nothing:
// whoever sends them does not know the passphrases.
func FuzzIdentification(f *testing.F) {
	first := gs2Header + "n=alice,r=abcdefghijklmnopqrstuvwxyz"
	f.Add([]byte(first), []byte("c=cD10bHMtZXhwb3J0ZXIsLA==,r=x,p=AAAA"), []byte(mechanism), []byte("r=x,s=AAAA,i=4096"))
	f.Add([]byte(gs2Header+"n=,r=abcdefghijklmnopqrstuvwxyz"), []byte("c="), []byte("x"), []byte(""))
	f.Add([]byte("n,,n=alice,r=abcdefghijklmnop"), []byte(first), []byte{}, []byte("e=other-error"))
	server := must(StepsOf(fast(f, Login{"alice", Passphrase("one")}, Passphrase("two"), Passphrase("three"))))
	client := must(StepsOf(new(Default)))
	f.Fuzz(func(t *testing.T, one, two, challenge, proof []byte) {
		ctx := context.Background()
		ex := &Exchange{Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), ChannelBinding: binding(1)}
		if _, d := server.Challenge(ctx, ex); d != nil {
			t.Fatal(d)
		}
		for _, token := range [][]byte{one, two, one} {
			reply, done, d := server.AcceptIdentification(ctx, ex, token)
			if done || ex.User != "" {
				t.Fatalf("accepted as %q after %q, %q", ex.User, one, two)
			}
			if d != nil {
				checkText(t, d.Error())
				if d.Check != CheckIdentification || d.Code != DeniedSecurity {
					t.Errorf("denied as %v", d)
				}
				break
			}
			if len(reply) == 0 || len(reply) > MaxToken {
				t.Errorf("a reply of %d bytes", len(reply))
			}
		}
		// And a client, by a server that knows nothing.
		cx := &Exchange{Ident: Passphrase("one"), ChannelBinding: binding(1)}
		for _, c := range [][]byte{challenge, proof, challenge} {
			if _, err := client.CreateAuthToken(ctx, cx, c); err != nil {
				checkText(t, err.Error())
				return
			}
		}
		cx.Final = true
		if _, err := client.CreateAuthToken(ctx, cx, proof); err == nil {
			t.Errorf("the client believes the proof %q", proof)
		}
	})
}
