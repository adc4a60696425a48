package ca

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pyrossl/pyrossl/certs"
)

func clientOf(name string, sans ...string) Request {
	return Request{Name: name, SANs: sans, Purposes: []Purpose{Client}}
}

func revoke(t *testing.T, dir, target string, o RevokeOptions) Revoked {
	t.Helper()
	res, err := Revoke(dir, target, o)
	if err != nil {
		t.Fatalf("Revoke(%q, %+v): %v", target, o, err)
	}
	return res
}

func writeCRLs(t *testing.T, dir string, o CRLOptions) CRLs {
	t.Helper()
	res, err := WriteCRLs(dir, o)
	if err != nil {
		t.Fatalf("WriteCRLs(%+v): %v", o, err)
	}
	return res
}

// listsIn reads the revocation lists of a directory.
func listsIn(t *testing.T, dir string) (all []*x509.RevocationList) {
	t.Helper()
	rest := []byte(readFile(t, filepath.Join(dir, CRLFile)))
	if _, err := certs.ParseCRLs(rest); err != nil {
		t.Fatalf("package certs does not read the lists: %v", err)
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return all
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, list)
	}
}

// opensslChecks verifies a certificate as openssl does with the lists of a directory.
func opensslChecks(t *testing.T, dir, cert string) (output string, ok bool) {
	t.Helper()
	return openssl(t, "verify", "-x509_strict", "-crl_check", "-CAfile", filepath.Join(dir, TrustFile), "-untrusted", cert, "-CRLfile", filepath.Join(dir, CRLFile), cert)
}

// follow gives the material of a certificate, checked against lists.
func follow(t *testing.T, res Result, purpose certs.Purpose, crl, deny string) *certs.FileSource {
	t.Helper()
	config := certs.FilesConfig{Cert: res.Cert, Key: res.Key, CA: res.CA, Purpose: purpose, DenyList: deny}
	if crl != "" {
		config.CRLs = []string{crl}
	}
	src, err := certs.Files(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src
}

// shake has a client and a daemon shake hands, and gives the error of either.
func shake(ctx context.Context, server, client certs.Source, host string) error {
	sc, err := certs.ServerConfig(server)
	if err != nil {
		return err
	}
	cc, err := certs.ClientConfig(client, certs.Expect{Host: host})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	accepted := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			err = tls.Server(conn, sc).HandshakeContext(ctx)
		}
		accepted <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := tls.Client(conn, cc).HandshakeContext(ctx); err != nil {
		return errors.Join(err, <-accepted)
	}
	return <-accepted
}

// What is revoked is refused by package certs at the next handshake, by the revocation
// lists as by the deny list alone; by openssl too. Others are accepted as before.
func TestRevokedIsRefused(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		target func(alice Result) string
		o      RevokeOptions
	}{
		"name":          {func(r Result) string { return "alice" }, RevokeOptions{}},
		"serial number": {func(r Result) string { return r.Entry.Serial }, RevokeOptions{Reason: "superseded"}},
		"serial number with colons": {func(r Result) string {
			s := strings.Repeat("0", len(r.Entry.Serial)%2) + r.Entry.Serial
			return strings.TrimSuffix(strings.Join(slices.Collect(func(yield func(string) bool) {
				for len(s) > 0 && yield(strings.ToUpper(s[:2])) {
					s = s[2:]
				}
			}), ":"), ":")
		}, RevokeOptions{}},
		"file":          {func(r Result) string { return r.Cert }, RevokeOptions{Reason: PrivilegeWithdrawn}},
		"principal":     {func(r Result) string { return "email:alice@bank.example" }, RevokeOptions{}},
		"its key":       {func(r Result) string { return "alice" }, RevokeOptions{Key: true}},
		"stolen key":    {func(r Result) string { return "alice" }, RevokeOptions{Reason: KeyCompromise}},
		"its principal": {func(r Result) string { return "alice@bank.example" }, RevokeOptions{Principal: true}},
	} {
		t.Run(what, func(t *testing.T) {
			dir, alone := t.TempDir(), t.TempDir()
			daemon := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
			alice := ensure(t, dir, clientOf("alice", "alice@bank.example"), EnsureOptions{}, Issue)
			bob := ensure(t, dir, clientOf("bob", "bob@bank.example"), EnsureOptions{Out: alone}, Issue)
			writeCRLs(t, dir, CRLOptions{})
			byCRL := follow(t, daemon, certs.ServerAuth, filepath.Join(dir, CRLFile), "")
			byDeny := follow(t, daemon, certs.ServerAuth, "", filepath.Join(dir, DenyFile))
			a, b := follow(t, alice, certs.ClientAuth, "", ""), follow(t, bob, certs.ClientAuth, "", "")
			for _, src := range []*certs.FileSource{byCRL, byDeny} {
				for _, client := range []certs.Source{a, b} {
					if err := shake(t.Context(), src, client, "a.example"); err != nil {
						t.Fatalf("before: %v", err)
					}
				}
			}
			if out, ok := opensslChecks(t, dir, alice.Cert); !ok {
				t.Fatalf("before: openssl: %s", out)
			}
			res := revoke(t, dir, c.target(alice), c.o)
			if len(res.New) != 1 || res.New[0].Serial != alice.Entry.Serial || len(res.Before) != 0 {
				t.Errorf("revoked %+v, before %+v", res.New, res.Before)
			}
			for _, src := range []*certs.FileSource{byCRL, byDeny} {
				if err := src.Reload(); err != nil {
					t.Fatal(err)
				}
				err := shake(t.Context(), src, a, "a.example")
				wantError(t, err, "revocation: ")
				if err := shake(t.Context(), src, b, "a.example"); err != nil {
					t.Errorf("bob: %v", err)
				}
			}
			if out, ok := opensslChecks(t, dir, alice.Cert); ok || !strings.Contains(out, "certificate revoked") {
				t.Errorf("openssl on the revoked one: %t, %s", ok, out)
			}
			if out, ok := opensslChecks(t, dir, bob.Cert); !ok {
				t.Errorf("openssl on another one: %s", out)
			}
			// Once is enough, and nothing takes it back.
			again := revoke(t, dir, c.target(alice), RevokeOptions{})
			if len(again.New) != 0 || len(again.Before) != 1 || again.Before[0].Reason != res.New[0].Reason {
				t.Errorf("again: %+v, before %+v", again.New, again.Before)
			}
			if _, err := RenewLeaves(dir, []string{"alice"}, RenewOptions{}); !errors.Is(err, ErrRevoked) {
				t.Errorf("to renew it: %v, want ErrRevoked", err)
			}
			if _, err := Ensure(dir, clientOf("alice", "alice@bank.example"), EnsureOptions{}); !errors.Is(err, ErrRevoked) {
				t.Errorf("to issue it: %v, want ErrRevoked", err)
			}
		})
	}
}

// With every kind of key, openssl reads the lists and finds their signatures good.
func TestListsForOpenSSL(t *testing.T) {
	for kind := range keyTypes {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			a := ensure(t, dir, server("a"), EnsureOptions{CA: Options{KeyType: kind}}, Issue)
			b := ensure(t, dir, server("b"), EnsureOptions{}, Issue)
			revoke(t, dir, "a", RevokeOptions{Reason: CessationOfOperation})
			res := writeCRLs(t, dir, CRLOptions{TTL: 48 * time.Hour, Root: true})
			if len(res.Lists) != 2 || res.Lists[0].Number != 2 || res.Lists[0].Revoked != 1 || res.Lists[1].Number != 1 || res.Lists[1].Revoked != 0 {
				t.Errorf("lists %+v", res.Lists)
			}
			text, ok := openssl(t, "crl", "-in", filepath.Join(dir, CRLFile), "-noout", "-text", "-CAfile", filepath.Join(dir, interCert))
			serial := strings.ToUpper(a.Entry.Serial)
			for _, want := range []string{"verify OK", "Version 2", "X509v3 CRL Number", "X509v3 Authority Key Identifier", "Serial Number: " + strings.Repeat("0", len(serial)%2) + serial, "Cessation Of Operation"} {
				if !ok || !strings.Contains(text, want) {
					t.Errorf("openssl crl: want %q in\n%s", want, text)
				}
			}
			// The whole chain, now that the root has a list too.
			all := []string{"verify", "-x509_strict", "-crl_check_all", "-CAfile", filepath.Join(dir, TrustFile), "-CRLfile", filepath.Join(dir, CRLFile), "-untrusted"}
			if out, ok := openssl(t, append(all, b.Cert, b.Cert)...); !ok {
				t.Errorf("openssl on the one that is good: %s", out)
			}
			if out, ok := openssl(t, append(all, a.Cert, a.Cert)...); ok || !strings.Contains(out, "certificate revoked") {
				t.Errorf("openssl on the revoked one: %t, %s", ok, out)
			}
		})
	}
}

// Numbers only rise, dates are as asked for, and the last --ttl holds on.
func TestListsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := server("a")
		r.TTL = 3 * time.Hour
		ensure(t, dir, r, EnsureOptions{}, Issue)
		r.Name = "b"
		ensure(t, dir, r, EnsureOptions{}, Issue)
		for n, c := range []struct {
			ttl, want time.Duration
		}{{0, CRLTTL}, {7 * 24 * time.Hour, 7 * 24 * time.Hour}, {0, 7 * 24 * time.Hour}} {
			writeCRLs(t, dir, CRLOptions{TTL: c.ttl})
			list := listsIn(t, dir)[0]
			if list.Number.Int64() != int64(n+1) || list.NextUpdate.Sub(list.ThisUpdate) != c.want+backdate {
				t.Errorf("number %v for %v, want %d for %v", list.Number, list.NextUpdate.Sub(list.ThisUpdate), n+1, c.want)
			}
			time.Sleep(time.Second)
		}
		// A certificate stays on the list until one was written after its end.
		revoke(t, dir, "a", RevokeOptions{})
		time.Sleep(4 * time.Hour)
		for n, want := range []int{1, 0} {
			writeCRLs(t, dir, CRLOptions{})
			if got := listsIn(t, dir)[0].RevokedCertificateEntries; len(got) != want {
				t.Errorf("list %d after its end has %d entries, want %d", n+1, len(got), want)
			}
			time.Sleep(time.Second)
		}
		deny, err := certs.ParseDenyList([]byte(readFile(t, filepath.Join(dir, DenyFile))))
		if err != nil || deny.Len() != 0 || deny.Number() != 6 {
			t.Errorf("the deny list is %v, %v, want number 6 without entries", deny, err)
		}
		if _, err := Revoke(dir, "b", RevokeOptions{}); !errors.Is(err, ErrUnknown) {
			t.Errorf("to revoke what has expired: %v, want ErrUnknown", err)
		}
		for _, ttl := range []time.Duration{-1, time.Second, 2 * RootTTL} {
			if _, err := WriteCRLs(dir, CRLOptions{TTL: ttl}); !errors.Is(err, ErrRequest) {
				t.Errorf("lists for %v: %v, want ErrRequest", ttl, err)
			}
		}
	})
}

// What has the same key, or proves the same name, goes with it; so does what is issued
// later. Names can be admitted again, keys cannot.
func TestRevokeKeysAndNames(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, clientOf("alice", "alice@bank.example"), EnsureOptions{}, Issue)
	ensure(t, dir, clientOf("laptop", "alice@bank.example", "spiffe://bank.example/laptop"), EnsureOptions{}, Issue)
	if _, err := RenewLeaves(dir, []string{"alice"}, RenewOptions{KeepKey: true}); err != nil {
		t.Fatal(err)
	}
	old, err := List(dir)
	if err != nil || len(old) != 3 || old[0].SPKI != old[2].SPKI {
		t.Fatalf("issued %+v, %v", old, err)
	}
	res := revoke(t, dir, old[0].Serial, RevokeOptions{Key: true})
	if len(res.New) != 2 || len(res.Keys) != 1 || len(res.Spared) != 1 || res.Spared[0].Name != "laptop" {
		t.Errorf("by key: revoked %+v, spared %+v", res.New, res.Spared)
	}
	// Another key for the same name is fine, until the name itself goes.
	ensure(t, dir, clientOf("alice", "alice@bank.example"), EnsureOptions{Force: true}, Replace)
	res = revoke(t, dir, "email:alice@bank.example", RevokeOptions{Principal: true, Reason: PrivilegeWithdrawn})
	if len(res.New) != 2 || !slices.Equal(res.Principals, []string{"email:alice@bank.example"}) || len(res.Spared) != 0 {
		t.Errorf("by name: revoked %+v, names %q, spared %+v", res.New, res.Principals, res.Spared)
	}
	_, err = Ensure(dir, clientOf("phone", "alice@bank.example"), EnsureOptions{})
	if !errors.Is(err, ErrRevoked) {
		t.Errorf("another certificate for a name that was revoked: %v, want ErrRevoked", err)
	}
	wantError(t, err, "mkcerts revoke --lift email:alice@bank.example")
	ensure(t, dir, clientOf("desk", "spiffe://bank.example/laptop"), EnsureOptions{}, Issue)

	list := readFile(t, filepath.Join(dir, DenyFile))
	for _, want := range []string{"key " + old[0].SPKI, "principal email:alice@bank.example # privilegeWithdrawn\n", "serial " + old[1].Serial + " issuer "} {
		if strings.Count(list, want) != 1 {
			t.Errorf("want %q once in the deny list\n%s", want, list)
		}
	}
	if _, err := Readmit(dir, "alice@bank.example", CRLOptions{}); err != nil {
		t.Fatal(err)
	}
	if text := readFile(t, filepath.Join(dir, DenyFile)); strings.Contains(text, "principal") {
		t.Errorf("it is still on the deny list\n%s", text)
	}
	ensure(t, dir, clientOf("phone", "alice@bank.example"), EnsureOptions{}, Issue)
	all, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, e := range all {
		states = append(states, fmt.Sprintf("%s %s", e.Name, e.State))
	}
	if want := []string{"alice revoked", "laptop revoked", "alice revoked", "alice revoked", "desk live", "phone live"}; !slices.Equal(states, want) {
		t.Errorf("states %q, want %q", states, want)
	}
	if _, err := Readmit(dir, "alice@bank.example", CRLOptions{}); !errors.Is(err, ErrUnknown) {
		t.Errorf("twice: %v, want ErrUnknown", err)
	}
	if _, err := Readmit(dir, "a b@", CRLOptions{}); !errors.Is(err, ErrRequest) {
		t.Errorf("no name: %v, want ErrRequest", err)
	}
	// A certificate for addresses only proves no name that a list could have.
	ensure(t, dir, Request{Name: "ip", SANs: []string{"192.0.2.1"}, Purposes: []Purpose{Server}}, EnsureOptions{}, Issue)
	if _, err := Revoke(dir, "ip", RevokeOptions{Principal: true}); !errors.Is(err, ErrRequest) {
		t.Errorf("the names of a certificate without: %v, want ErrRequest", err)
	}
}

// The deny list is shared with those who write into it by hand.
func TestDenyListKeepsWhatOthersAdd(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	writeCRLs(t, dir, CRLOptions{})
	path := filepath.Join(dir, DenyFile)
	ours := "principal email:bob@other.example # left"
	writeFile(t, path, "number 41\nissued 2020-01-01T00:00:00Z\nmax-age 720h0m0s\n"+ours+"\nserial 1f\n", 0o640)
	revoke(t, dir, "a", RevokeOptions{})
	text := readFile(t, path)
	list, err := certs.ParseDenyList([]byte(text))
	if err != nil || list.Number() != 42 || list.Len() != 3 || !strings.Contains(text, ours) || !strings.Contains(text, "\nmax-age 720h0m0s\n") || strings.Contains(text, "2020") {
		t.Errorf("%v in\n%s", err, text)
	}
	if m := mode(t, path); m != 0o640 {
		t.Errorf("it has mode %#o now", m)
	}
	// What cannot be read is not overwritten; the revocation is on record all the same.
	writeFile(t, path, "number 43\nprincipal nonsense\n", 0o644)
	b := ensure(t, dir, server("b"), EnsureOptions{}, Issue)
	_, err = Revoke(dir, "b", RevokeOptions{})
	wantError(t, err, "it is recorded as revoked", "line 2", "mkcerts crl")
	if strings.Contains(readFile(t, path), "serial") {
		t.Error("it was overwritten")
	}
	if out, ok := opensslChecks(t, dir, b.Cert); ok || !strings.Contains(out, "certificate revoked") {
		t.Errorf("openssl: %t, %s", ok, out)
	}
}

func TestRevokeRefuses(t *testing.T) {
	dir := t.TempDir()
	a := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	stranger := ensure(t, t.TempDir(), server("b"), EnsureOptions{}, Issue)
	before := snapshot(t, dir)
	for what, c := range map[string]struct {
		target string
		o      RevokeOptions
		want   error
	}{
		"unknown name":          {"nobody", RevokeOptions{}, ErrUnknown},
		"unknown serial number": {"1f2a", RevokeOptions{}, ErrUnknown},
		"unknown principal":     {"email:nobody@bank.example", RevokeOptions{Principal: true}, ErrUnknown},
		"another CA's":          {stranger.Cert, RevokeOptions{}, ErrUnknown},
		"an intermediate":       {filepath.Join(dir, interCert), RevokeOptions{}, ErrRequest},
		"no intermediate":       {a.Cert, RevokeOptions{Intermediate: true}, ErrUnknown},
		"reason":                {"a", RevokeOptions{Reason: "certificateHold"}, ErrRequest},
		"time":                  {"a", RevokeOptions{Lists: CRLOptions{TTL: -1}}, ErrRequest},
		"both":                  {"", RevokeOptions{Intermediate: true, Key: true}, ErrRequest},
	} {
		if _, err := Revoke(dir, c.target, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", what, err, c.want)
		}
	}
	res := revoke(t, dir, "a", RevokeOptions{DryRun: true, Key: true, Principal: true})
	if len(res.New) != 1 || len(res.Keys) != 1 || len(res.Principals) != 1 {
		t.Errorf("a dry run would revoke %+v", res)
	}
	if !slices.Equal(before, snapshot(t, dir)) {
		t.Error("files have changed")
	}
	if _, err := Revoke(t.TempDir(), "a", RevokeOptions{}); !errors.Is(err, ErrNoCA) {
		t.Errorf("without a CA: %v", err)
	}
	// A name that is a serial number as well needs a word more.
	ensure(t, dir, server(a.Entry.Serial), EnsureOptions{}, Issue)
	if _, err := Revoke(dir, a.Entry.Serial, RevokeOptions{}); !errors.Is(err, ErrRequest) {
		t.Errorf("a name that is a serial number: %v, want ErrRequest", err)
	}
	if res := revoke(t, dir, "serial:"+a.Entry.Serial, RevokeOptions{}); len(res.New) != 1 || res.New[0].Name != "a" {
		t.Errorf("revoked %+v", res.New)
	}
}

// A certificate that the index does not know, because a program has issued it by
// itself, is revoked by its file. Its name comes from wherever, and must not add lines
// to the deny list.
func TestRevokeWhatIsNotInTheIndex(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	authority, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := issue(t, authority, clientOf("b", "b@bank.example"))
	if e, err := Look(dir, i.Leaf()); err != nil || e == nil || e.State != StateLive {
		t.Errorf("before: %+v, %v", e, err)
	}
	path := filepath.Join(t.TempDir(), "b.crt")
	writeFile(t, path, string(i.CertificatePEM()), 0o644)
	revoke(t, dir, path, RevokeOptions{})
	if e, err := Look(dir, i.Leaf()); err != nil || e == nil || e.State != StateRevoked || e.Unlisted {
		t.Errorf("after: %+v, %v", e, err)
	}
	if len(listsIn(t, dir)[0].RevokedCertificateEntries) != 1 {
		t.Error("it is not on the list")
	}
	c := Revocation{Name: "x\nprincipal email:alice@bank.example", Reason: Superseded}
	if got := c.comment(); got != "superseded" {
		t.Errorf("the comment is %q", got)
	}
}

// The intermediate goes with all that it has signed, for those who check whole chains
// and for those with the deny list.
func TestRevokeIntermediate(t *testing.T) {
	dir := t.TempDir()
	daemon := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	alice := ensure(t, dir, clientOf("alice", "alice@bank.example"), EnsureOptions{}, Issue)
	res := revoke(t, dir, "", RevokeOptions{Intermediate: true, Reason: CACompromise})
	if len(res.New) != 1 || len(res.Lists.Lists) != 2 {
		t.Errorf("revoked %+v with lists %+v", res.New, res.Lists.Lists)
	}
	for what, src := range map[string]*certs.FileSource{
		"lists":     follow(t, daemon, certs.ServerAuth, filepath.Join(dir, CRLFile), ""),
		"deny list": follow(t, daemon, certs.ServerAuth, "", filepath.Join(dir, DenyFile)),
	} {
		err := shake(t.Context(), src, follow(t, alice, certs.ClientAuth, "", ""), "a.example")
		if err == nil || !strings.Contains(err.Error(), "its authority") && !strings.Contains(err.Error(), "revoked") {
			t.Errorf("%s: got %v, want a refusal because of the authority", what, err)
		}
	}
	if _, err := Ensure(dir, server("b"), EnsureOptions{}); !errors.Is(err, ErrRevoked) {
		t.Errorf("to issue by it: %v, want ErrRevoked", err)
	}
	if _, err := RenewIntermediate(dir, RenewOptions{}); err != nil {
		t.Fatal(err)
	}
	all, err := RenewLeaves(dir, nil, RenewOptions{})
	if err != nil || len(all) != 2 {
		t.Fatalf("renewed %+v, %v", all, err)
	}
	src := follow(t, daemon, certs.ServerAuth, filepath.Join(dir, CRLFile), filepath.Join(dir, DenyFile))
	if err := shake(t.Context(), src, follow(t, alice, certs.ClientAuth, filepath.Join(dir, CRLFile), ""), "a.example"); err != nil {
		t.Errorf("with the next intermediate: %v", err)
	}
}

// A process may end at any moment: afterwards the files can be read, no number is used
// twice, and the same once more ends well.
func TestRevokeCutShort(t *testing.T) {
	t.Parallel()
	var serial string
	prepare := func(t *testing.T) string {
		dir := t.TempDir()
		serial = ensure(t, dir, clientOf("a", "a@bank.example"), EnsureOptions{}, Issue).Entry.Serial
		writeCRLs(t, dir, CRLOptions{})
		return dir
	}
	look := func(t *testing.T, dir string) {
		published := listsIn(t, dir)[0].Number.Uint64()
		all, err := List(dir)
		if err != nil {
			t.Fatal(err)
		}
		l, err := readLedger(dir)
		if err != nil {
			t.Fatal(err)
		}
		recorded := len(l.Certificates) > 0
		if got := all[0].State == StateRevoked; got != recorded {
			t.Errorf("listed as %s, and the ledger has it: %t", all[0].State, recorded)
		}
		// Once it is on record, the next lists have it, whoever writes them.
		writeCRLs(t, dir, CRLOptions{})
		list := listsIn(t, dir)[0]
		if got := len(list.RevokedCertificateEntries) > 0; got != recorded {
			t.Errorf("the list has it: %t, the ledger: %t", got, recorded)
		}
		if list.Number.Uint64() <= published {
			t.Errorf("number %v after %d", list.Number, published)
		}
		revoke(t, dir, "a", RevokeOptions{Key: true, Principal: true})
		list = listsIn(t, dir)[0]
		if len(list.RevokedCertificateEntries) != 1 || fmt.Sprintf("%x", list.RevokedCertificateEntries[0].SerialNumber) != serial {
			t.Errorf("the list has %+v", list.RevokedCertificateEntries)
		}
	}
	atEachStep(t, prepare, look, "revoke", "a")
}

func TestReadmitCutShort(t *testing.T) {
	t.Parallel()
	atEachStep(t, func(t *testing.T) string {
		dir := t.TempDir()
		ensure(t, dir, clientOf("a", "a@bank.example"), EnsureOptions{}, Issue)
		revoke(t, dir, "a", RevokeOptions{Principal: true})
		return dir
	}, func(t *testing.T, dir string) {
		if _, err := Readmit(dir, "a@bank.example", CRLOptions{}); err != nil && !errors.Is(err, ErrUnknown) {
			t.Error(err)
		}
		if text := readFile(t, filepath.Join(dir, DenyFile)); strings.Contains(text, "principal ") {
			t.Errorf("it is still on the deny list\n%s", text)
		}
		ensure(t, dir, clientOf("b", "a@bank.example"), EnsureOptions{}, Issue)
	}, "readmit", "a@bank.example")
}

// An old copy of the ledger, as a restored backup has it, takes nothing back.
func TestOldLedger(t *testing.T) {
	dir := t.TempDir()
	a := ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	writeCRLs(t, dir, CRLOptions{})
	old := readFile(t, filepath.Join(dir, ledgerFile))
	revoke(t, dir, "a", RevokeOptions{Reason: Superseded})
	writeFile(t, filepath.Join(dir, ledgerFile), old, 0o644)
	res := writeCRLs(t, dir, CRLOptions{})
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "does not know of") {
		t.Errorf("warnings %q", res.Warnings)
	}
	list := listsIn(t, dir)[0]
	if list.Number.Int64() != 3 || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].ReasonCode != Superseded.code() {
		t.Errorf("number %v with %+v", list.Number, list.RevokedCertificateEntries)
	}
	if deny := readFile(t, filepath.Join(dir, DenyFile)); strings.Count(deny, "serial ") != 1 || !strings.Contains(deny, "number 3\n") {
		t.Errorf("the deny list is\n%s", deny)
	}
	all, err := List(dir)
	if err != nil || all[0].State != StateRevoked || all[0].Serial != a.Entry.Serial {
		t.Errorf("got %+v, %v", all, err)
	}
	for _, damaged := range []string{"", "{", `{"version":2}`, `{"version":1,"more":1}`, old + old, `{"version":1,"certificates":[{"serial":"x"}]}`} {
		writeFile(t, filepath.Join(dir, ledgerFile), damaged, 0o644)
		before := snapshot(t, dir)
		_, err := WriteCRLs(dir, CRLOptions{})
		wantError(t, err, ledgerFile, "nobody knows what was revoked")
		if _, err := Ensure(dir, server("b"), EnsureOptions{}); err == nil {
			t.Error("issued without knowing what was revoked")
		}
		if !slices.Equal(before, snapshot(t, dir)) {
			t.Error("files have changed")
		}
	}
}

// Where the lists cannot be written, the revocation is on record, and the error says so.
func TestRevokeWithoutLists(t *testing.T) {
	dir := t.TempDir()
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	if err := os.MkdirAll(filepath.Join(dir, CRLFile, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Revoke(dir, "a", RevokeOptions{})
	wantError(t, err, "it is recorded as revoked, but the list could not be written", "mkcerts crl")
	all, err := List(dir)
	if err != nil || all[0].State != StateRevoked {
		t.Errorf("got %+v, %v", all, err)
	}
	// Without the key that signs lists, nothing is lost either.
	dir = t.TempDir()
	ensure(t, dir, server("a"), EnsureOptions{}, Issue)
	key := readFile(t, filepath.Join(dir, interKey))
	os.Remove(filepath.Join(dir, interKey))
	_, err = Revoke(dir, "a", RevokeOptions{})
	wantError(t, err, "recorded as revoked", "is not here")
	writeFile(t, filepath.Join(dir, interKey), key, 0o600)
	if res := writeCRLs(t, dir, CRLOptions{}); res.Lists[0].Revoked != 1 {
		t.Errorf("lists %+v", res.Lists)
	}
}

// Processes that work on one directory at once wait for each other: each revocation is
// on the last list, and no two lists have one number.
func TestProcessesAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const n = 6
	for i := range n {
		ensure(t, dir, clientOf(fmt.Sprint("c", i), fmt.Sprintf("c%d@bank.example", i)), EnsureOptions{}, Issue)
	}
	var group []func() error
	for i := range n {
		for _, words := range [][]string{{"revoke", dir, fmt.Sprint("c", i)}, {"issue", dir, fmt.Sprint("s", i)}, {"crl", dir}} {
			var out bytes.Buffer
			c := childCommand(t, words...)
			c.Stderr = &out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			group = append(group, func() error {
				if err := c.Wait(); err != nil {
					return fmt.Errorf("%q: %w: %s", words, err, out.String())
				}
				return nil
			})
		}
	}
	for _, wait := range group {
		if err := wait(); err != nil {
			t.Error(err)
		}
	}
	list := listsIn(t, dir)[0]
	if list.Number.Int64() != 2*n {
		t.Errorf("the last list has number %v, want %d", list.Number, 2*n)
	}
	if got := len(list.RevokedCertificateEntries); got != n {
		t.Errorf("the last list has %d entries, want %d", got, n)
	}
	all, err := List(dir)
	live := 0
	for _, e := range all {
		if e.State == StateLive {
			live++
		}
	}
	if err != nil || len(all) != 2*n || live != n {
		t.Errorf("%d certificates, %d of them live, %v", len(all), live, err)
	}
}
