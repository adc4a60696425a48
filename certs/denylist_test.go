package certs_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

const hash = "3b5d5c3712955042212316173ccf37be3b5d5c3712955042212316173ccf37be"

func TestDenyListIsRefusedAsAWhole(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", `has no number, want "number 1" as its first line`},
		{"# only a comment\n\n", "has no number"},
		{"serial 1f", `line 1: stands before the list's number`},
		{"number 1\nuser alice", `line 2: begins with "user", want number, issued, max-age, serial, key, ca or principal`},
		{"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg", `line 1: begins with a word of 48 bytes, want number`},
		{"number 1\nSerial 1f", `line 2: begins with "Serial"`},
		{"number 1\n\x1b[31mserial 1", `line 2: begins with "\x1b[31mserial"`},
		{"number 1\nserial \xff", "line 2: is not UTF-8"},
		{"number 1\n\nserial", "line 3: gives 0 values for serial"},
		{"number 1\nserial 1g", `line 2: serial is "1g", want a hexadecimal number`},
		{"number 1\nserial 0x1f", `serial is "0x1f"`},
		{"number 1\nserial -1f", `serial is "-1f"`},
		{"number 1\nserial +1f", `serial is "+1f"`},
		{"number 1\nserial 1_f", `serial is "1_f"`},
		{"number 1\nserial 1f:2", `serial is "1f:2"`},
		{"number 1\nserial :", `serial is ":"`},
		{"number 1\nserial " + strings.Repeat("f", 129), "at most 64 bytes"},
		{"number 1\nserial 1f 2a", `serial is followed by "1f 2a"`},
		{"number 1\nserial 1f issuer", `serial is followed by "1f issuer"`},
		{"number 1\nserial 1f by " + hash, "the word issuer"},
		{"number 1\nserial 1f issuer 3b5d", `line 2: issuer is "3b5d"`},
		{"number 1\nserial 1f issuer " + hash + " x", "serial is followed by"},
		{"number 1\nkey 3b5d", `key is "3b5d", want the SHA-256 of a public key as 64 hexadecimal digits or base64 (openssl x509`},
		{"number 1\nkey " + hash + "00", "key is"},
		{"number 1\nkey sha256:" + hash, "key is"},
		{"number 1\nca " + strings.ReplaceAll(hash, "3", "z"), "ca is"},
		{"number 1\nca " + hash + " " + hash, "gives 2 values for ca"},
		{"number 1\nprincipal alice", `line 2: "alice" is no principal`},
		{"number 1\nprincipal ip:127.0.0.1", "is no principal"},
		{"number 1\nprincipal dns:*.bank.example", "is a wildcard"},
		{"number 1\nprincipal dns:Bank.example", "is not in its one spelling"},
		{"number 1\nprincipal uri:spiffe://a/b#c", "has a fragment"},
		{"number 1\nprincipal email:a@b.c email:d@e.f", "gives 2 values for principal"},
		{"number 0", `number is "0", want a whole number from 1`},
		{"number 01", `number is "01"`},
		{"number -1", `number is "-1"`},
		{"number 1.5", `number is "1.5"`},
		{"number 99999999999999999999", "number is"},
		{"number", "gives 0 values for number"},
		{"number 1 2", "gives 2 values for number"},
		{"number 1\nnumber 2", "line 2: gives number a second time"},
		{"number 1\nserial 1f\nissued 2026-01-02T15:04:05Z", "line 3: gives issued after the first entry"},
		{"number 1\nissued yesterday", `issued is "yesterday", want a time like 2026-01-02T15:04:05Z`},
		{"number 1\nissued 0001-01-01T00:00:00Z", "issued is"},
		{"number 1\nmax-age 30d", "has a max-age but not the moment from which it counts"},
		{"number 1\nissued 2026-01-02T15:04:05Z\nmax-age 0", `max-age is "0", want a time like 30d or 12h`},
		{"number 1\nissued 2026-01-02T15:04:05Z\nmax-age -1h", "max-age is"},
		{"number 1\nissued 2026-01-02T15:04:05Z\nmax-age 1.5d", "max-age is"},
		{"number 1\nissued 2026-01-02T15:04:05Z\nmax-age 99999d", "max-age is"},
		{"number 1\n#" + strings.Repeat("x", 4096), "line 2: is longer than 4096 bytes"},
		{"number 1\nserial 1f\x00", "serial is"},
		{strings.Repeat("#\n", 8<<20+1), "is larger than"},
	} {
		d, err := certs.ParseDenyList([]byte(c.text))
		if err == nil || d != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: got %v, want %q", c.text, err, c.want)
		}
	}
}

func TestDenyListPrintsWhatItRead(t *testing.T) {
	raw, err := hex.DecodeString(hash)
	if err != nil {
		t.Fatal(err)
	}
	colons := strings.ToUpper(hash[:2])
	for i := 2; i < len(hash); i += 2 {
		colons += ":" + strings.ToUpper(hash[i:i+2])
	}
	d := deny(t, "\xef\xbb\xbf# ours\r\n\tnumber   12 # counted up\r\n\r\nissued 2026-01-02T16:04:05+01:00\nmax-age 30d\n"+
		"serial 00:1F:2a  #  lost  laptop \nserial 0\nserial 1f2a issuer "+colons+"\nkey "+base64.StdEncoding.EncodeToString(raw)+
		"\n  principal\turi:spiffe://bank.example/teller # left # the company\nprincipal cn:a#b\nca "+hash+"\n#end")
	want := "number 12\nissued 2026-01-02T15:04:05Z\nmax-age 720h0m0s\nserial 1f2a # lost  laptop\nserial 0\nserial 1f2a issuer " + hash + "\nkey " + hash +
		"\nprincipal uri:spiffe://bank.example/teller # left # the company\nprincipal cn:a#b\nca " + hash + "\n"
	if d.String() != want || d.Number() != 12 || d.Len() != 7 {
		t.Errorf("%d entries of list number %d:\n%s\nwant\n%s", d.Len(), d.Number(), d, want)
	}
	if again := deny(t, d.String()); again.String() != want {
		t.Errorf("read again:\n%s", again)
	}
}

// FuzzParseDenyList: what is read prints as a list that reads the same, and an error
// names a line.
func FuzzParseDenyList(f *testing.F) {
	for _, s := range []string{
		"number 1\n", "number 7\nissued 2026-01-02T15:04:05Z\nmax-age 30d\nserial 1f:2a issuer " + hash + " # why\nkey " + hash,
		"number 2\nprincipal email:alice@bank.example\nprincipal cn:a#b # c\n", "number 3\nca n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=\n", "serial 1", "number 1\nx",
		"number 1\nserial 1#2\n", "number 9\nissued 2026-01-02T15:04:05.123456789+11:30\nserial 000\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := certs.ParseDenyList([]byte(s))
		if err != nil {
			text := err.Error()
			if d != nil || len(text) > 20<<10 || strings.ContainsAny(text, "\n\x00\x1b") || !strings.Contains(text, "line ") && !strings.Contains(text, " has ") && !strings.Contains(text, "larger") {
				t.Errorf("%q: %q", s, text)
			}
			return
		}
		again, err := certs.ParseDenyList([]byte(d.String()))
		if err != nil || again.String() != d.String() || again.Len() != d.Len() || again.Number() != d.Number() {
			t.Errorf("%q prints\n%s\nand that\n%v (%v)", s, d, again, err)
		}
		if d.Number() == 0 || d.Len() > strings.Count(s, "\n")+1 {
			t.Errorf("%q: %d entries of list number %d", s, d.Len(), d.Number())
		}
	})
}

func spki(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

func TestDenyListMatches(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	alice := ca.Issue(t, testca.Leaf{
		CN: "alice", Emails: []string{"Alice@A.example"}, DNS: []string{"Laptop.a.example", "*.pool.example"}, URIs: []string{"spiffe://a.example/alice"}, EKU: clientAuth,
	})
	leaf, inter, root := alice.Chain[0], alice.Chain[1], ca.RootCert()
	serial := leaf.SerialNumber.Text(16)
	for _, c := range []struct {
		entry string
		want  string // what is on the list; empty: nothing
	}{
		{"serial " + serial, "its serial number is on the deny list (number 5)"},
		{"serial 0000" + strings.ToUpper(serial), "its serial number"},
		{"serial " + serial + " issuer " + spki(inter), "its serial number"},
		{"serial " + serial + " issuer " + spki(root), ""},
		{"serial " + serial + " issuer " + spki(other.IntermediateCert()) + "\nserial " + serial + " issuer " + spki(inter), "its serial number"},
		{"serial " + serial + "0", ""},
		{"serial " + inter.SerialNumber.Text(16), "the serial number of its authority CN=testca intermediate "},
		{"serial " + inter.SerialNumber.Text(16) + " issuer " + spki(root), "the serial number of its authority"},
		{"serial " + root.SerialNumber.Text(16), ""},
		{"key " + spki(leaf), "its key is on the deny list"},
		{"key " + spki(inter), "the key of its authority CN=testca intermediate "},
		{"key " + spki(other.IntermediateCert()), ""},
		{"ca " + spki(inter), "the key of its authority CN=testca intermediate "},
		{"ca " + spki(root), "the key of its authority CN=testca root "},
		{"ca " + spki(other.RootCert()), ""},
		{"principal uri:spiffe://a.example/alice", "its name uri:spiffe://a.example/alice is on"},
		{"principal uri:spiffe://a.example/alic", ""},
		{"principal uri:spiffe://a.example/Alice", ""},
		{"principal email:Alice@a.example", "its name email:Alice@a.example"},
		{"principal email:alice@a.example", ""},
		{"principal dns:laptop.a.example", "its name dns:laptop.a.example"},
		{"principal dns:a.pool.example", ""}, // a wildcard is not its names
		{"principal cn:alice", "its name cn:alice"},
		{"principal dns:alice", ""}, // kinds are not mixed
		{"principal email:laptop@a.example", ""},
		{"principal cn:bob\nprincipal uri:spiffe://a.example/alice", "spiffe"},
	} {
		r := revocations(t, certs.RevocationConfig{Deny: deny(t, "number 5\n"+c.entry)})
		d := r.Check(chainOf(ca, alice), time.Now())
		if c.want == "" {
			if d != nil {
				t.Errorf("%s: %v", c.entry, d)
			}
			continue
		}
		refused(t, c.entry, d, certs.CheckRevocation, c.want, "certificate for dns:Laptop.a.example, ")
	}
}

// TestDenyListSeesNamesBesideBadOnes: a certificate does not escape by carrying, beside
// the name that is denied, one for which package validator refuses to look at any.
func TestDenyListSeesNamesBesideBadOnes(t *testing.T) {
	ca := testca.New(t)
	raw := func(names ...string) testca.Pair {
		var all []asn1.RawValue
		for _, n := range names {
			tag := map[byte]int{'u': 6, 'd': 2, 'e': 1}[n[0]]
			all = append(all, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(n[1:])})
		}
		return ca.Issue(t, testca.Leaf{EKU: clientAuth, Modify: func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{extension(t, asn1.ObjectIdentifier{2, 5, 29, 17}, false, all)}
		}})
	}
	r := revocations(t, certs.RevocationConfig{Deny: deny(t, "number 1\nprincipal uri:spiffe://a.example/mallory\nprincipal dns:mallory.a.example")})
	for name, pair := range map[string]testca.Pair{
		"wildcard":        raw("d*.a.example", "uspiffe://a.example/mallory"),
		"unusual URI":     raw("uHTTP://x/%61#", "uspiffe://a.example/mallory"),
		"control":         raw("ea b@x", "dmallory.a.example"),
		"capitals":        raw("dMALLORY.A.example"),
		"dot at the end":  raw("dmallory.a.example."),
		"many before":     raw(append(strings.Split(strings.Repeat("dx.example,", 300), ",")[:300], "dmallory.a.example")...),
		"twice the names": raw("dmallory.a.example", "dmallory.a.example"),
	} {
		refused(t, name, r.Check(chainOf(ca, pair), time.Now()), certs.CheckRevocation, "is on the deny list")
	}
	if d := r.Check(chainOf(ca, raw("dmallory.b.example", "uspiffe://a.example/mallory2")), time.Now()); d != nil {
		t.Errorf("somebody else is denied: %v", d)
	}
}

func TestStaleDenyListRefusesEverybody(t *testing.T) {
	ca := testca.New(t)
	chain := chainOf(ca, ca.Client(t, "alice@a.example"))
	issued := time.Now().UTC().Truncate(time.Second)
	text := fmt.Sprintf("number 4\nissued %s\nmax-age 48h\nprincipal email:mallory@a.example\n", issued.Format(time.RFC3339))
	strict, lax := revocations(t, certs.RevocationConfig{Deny: deny(t, text)}), revocations(t, certs.RevocationConfig{Deny: deny(t, text), InsecureAllowStaleLists: true})
	if d := strict.Check(chain, issued.Add(48*time.Hour)); d != nil {
		t.Errorf("in its last moment: %v", d)
	}
	after := issued.Add(72 * time.Hour)
	refused(t, "stale", strict.Check(chain, after), certs.CheckRevocation, "the deny list (number 4) is stale, it was issued 3 days ago, on ", "must issue the deny list anew")
	if d := lax.Check(chain, after); d != nil {
		t.Errorf("let pass: %v", d)
	}
	refused(t, "denied by a stale list", lax.Check(chainOf(ca, ca.Client(t, "mallory@a.example")), after), certs.CheckRevocation, "is on the deny list")
}
