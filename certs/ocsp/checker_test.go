package ocsp_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/pyrossl/pyrossl/certs/ocsp"
	"github.com/pyrossl/pyrossl/internal/testca"
)

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		config ocsp.Config
		want   string
	}{
		{ocsp.Config{}, "want HardFail or SoftFail"},
		{ocsp.Config{Mode: 3}, "want HardFail or SoftFail"},
		{ocsp.Config{Mode: ocsp.SoftFail, Timeout: -1}, "negative"},
		{ocsp.Config{Mode: ocsp.HardFail, MaxCache: -1}, "negative"},
	} {
		if _, err := ocsp.New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.config, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	r := newResponder(t)
	alice := r.leaf("alice@a.example", address)
	const unknown = "whether it is revoked is not known"
	for _, c := range []struct {
		name string
		says xocsp.Response
		hard []string // words of the denial; none: none
		soft []string
	}{
		{"good", xocsp.Response{Status: xocsp.Good}, nil, nil},
		{"revoked", xocsp.Response{Status: xocsp.Revoked, RevocationReason: xocsp.KeyCompromise}, []string{"certificate for email:alice@a.example: it was revoked on ", "(key compromise), says the OCSP responder of CN=testca intermediate "}, []string{"it was revoked on"}},
		{"unknown", xocsp.Response{Status: xocsp.Unknown}, []string{unknown, "does not know the certificate"}, nil},
		{"stale", xocsp.Response{Status: xocsp.Good, ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour)}, []string{unknown, "was good until"}, nil},
		{"stale and revoked", xocsp.Response{Status: xocsp.Revoked, ThisUpdate: time.Now().Add(-2 * time.Hour), NextUpdate: time.Now().Add(-time.Hour)}, []string{"it was revoked on"}, []string{"it was revoked on"}},
		{"from the future", xocsp.Response{Status: xocsp.Good, ThisUpdate: time.Now().Add(time.Hour), NextUpdate: time.Now().Add(2 * time.Hour)}, []string{unknown, "from the future"}, nil},
		{"from a clock a little ahead", xocsp.Response{Status: xocsp.Good, ThisUpdate: time.Now().Add(time.Minute), NextUpdate: time.Now().Add(2 * time.Hour)}, nil, nil},
		{"fresh, without next update", xocsp.Response{Status: xocsp.Good, ThisUpdate: time.Now().Add(-time.Minute)}, nil, nil},
		{"old, without next update", xocsp.Response{Status: xocsp.Good, ThisUpdate: time.Now().Add(-11 * time.Minute)}, []string{unknown}, nil},
		{"about another number", xocsp.Response{Status: xocsp.Good, SerialNumber: r.leaf("bob@a.example")[0].SerialNumber}, []string{unknown, "does not parse"}, nil},
	} {
		r.says(c.says)
		refused(t, c.name+", hard", checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r}).Check(t.Context(), alice), c.hard...)
		refused(t, c.name+", soft", checker(t, ocsp.Config{Mode: ocsp.SoftFail, Transport: r}).Check(t.Context(), alice), c.soft...)
	}
}

// TestWhoMaySayIt has responses signed by all who might like to.
func TestWhoMaySayIt(t *testing.T) {
	r := newResponder(t)
	alice := r.leaf("alice@a.example", address)
	issuer, now := r.ca.IntermediateCert(), time.Now()
	signer := func(ca *testca.CA, change func(*x509.Certificate)) testca.Pair {
		return ca.Issue(t, testca.Leaf{CN: "responder", EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, Modify: change})
	}
	same := func(*x509.Certificate) {}
	other, sibling := testca.New(t), r.ca.Sibling(t)
	impostor := other.Reissued(t, func(c *x509.Certificate) { c.RawSubject, c.SubjectKeyId = issuer.RawSubject, issuer.SubjectKeyId })
	itself := testca.Pair{Chain: []*x509.Certificate{issuer}, Key: r.ca.IntermediateKey()}
	for _, c := range []struct {
		name    string
		by      testca.Pair
		about   *x509.Certificate // the authority that the answer names
		enclose bool
		want    string // of the error; empty: it counts
	}{
		{"the authority", itself, issuer, false, ""},
		{"the authority with its certificate", itself, issuer, true, ""},
		{"its responder", signer(r.ca, same), issuer, true, ""},
		{"its responder, certificate not sent", signer(r.ca, same), issuer, false, "is not signed by CN=testca intermediate "},
		{"a stranger", signer(other, same), issuer, true, "has not issued"},
		{"a stranger under its name", testca.Pair{Chain: []*x509.Certificate{impostor.IntermediateCert()}, Key: impostor.IntermediateKey()}, issuer, true, "has not issued"},
		{"a stranger's responder under its name", signer(impostor, same), issuer, true, "has not issued"},
		{"a responder of the root's other authority", signer(sibling, same), issuer, true, "has not issued"},
		{"the peer itself", r.ca.Client(t, "mallory@a.example"), issuer, true, "may not answer for its authority (no extended key usage OCSPSigning)"},
		{"a server", r.ca.Server(t, "bank.example"), issuer, true, "may not answer for its authority"},
		{"somebody for any purpose", signer(r.ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), issuer, true, "may not answer"},
		{"expired responder", signer(r.ca, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) }), issuer, true, "is valid from"},
		{"early responder", signer(r.ca, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Hour) }), issuer, true, "is valid from"},
		{"responder that may not sign", signer(r.ca, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), issuer, true, "may not sign"},
		{"about another authority's certificate", itself, sibling.IntermediateCert(), false, "of another authority with the same serial number"},
		{"about one of another name with the same key", itself, r.ca.Reissued(t, func(c *x509.Certificate) { c.RawSubject, c.Subject.CommonName = nil, "other" }).IntermediateCert(), false, "of another authority with the same serial number"},
		{"about one of the same name with another key", itself, impostor.IntermediateCert(), false, "of another authority with the same serial number"},
		{"about another authority's certificate, by a responder", signer(r.ca, same), other.IntermediateCert(), true, "of another authority with the same serial number"},
	} {
		for status, counts := range map[int]string{xocsp.Good: "", xocsp.Revoked: "it was revoked on"} {
			r.answers(func(_ *http.Request, q *xocsp.Request) (*http.Response, error) {
				return reply(200, "application/ocsp-response", strings.NewReader(string(r.sign(xocsp.Response{Status: status}, q, c.about, c.by.Chain[0], c.by.Key, c.enclose)))), nil
			})
			d := checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r}).Check(t.Context(), alice)
			switch {
			case c.want != "":
				refused(t, c.name, d, "whether it is revoked is not known", c.want)
			case counts == "":
				refused(t, c.name, d)
			default:
				refused(t, c.name, d, counts)
			}
		}
	}
}

// TestUselessAnswers: each is as if there were none.
func TestUselessAnswers(t *testing.T) {
	r := newResponder(t)
	alice := r.leaf("alice@a.example", address)
	ok := func(q *xocsp.Request) []byte {
		return r.sign(xocsp.Response{Status: xocsp.Good}, q, r.ca.IntermediateCert(), r.ca.IntermediateCert(), r.ca.IntermediateKey(), false)
	}
	redirect := func(to string) func(*http.Request, *xocsp.Request) (*http.Response, error) {
		return func(req *http.Request, q *xocsp.Request) (*http.Response, error) {
			if req.URL.Path == "/there" {
				return good(ok(q)), nil
			}
			resp := reply(http.StatusTemporaryRedirect, "text/html", http.NoBody)
			resp.Header.Set("Location", to)
			return resp, nil
		}
	}
	body := func(status int, kind, text string) func(*http.Request, *xocsp.Request) (*http.Response, error) {
		return func(*http.Request, *xocsp.Request) (*http.Response, error) {
			return reply(status, kind, strings.NewReader(text)), nil
		}
	}
	const kind = "application/ocsp-response"
	for _, c := range []struct {
		name    string
		respond func(*http.Request, *xocsp.Request) (*http.Response, error)
		want    string // empty: the answer counts
	}{
		{"no connection", down, "connection refused"},
		{"HTTP error", body(503, kind, ""), "HTTP status 503, want 200"},
		{"web page", body(200, "text/html", "<html>"), `content type "text/html", want application/ocsp-response`},
		{"no content type", body(200, "", "x"), "content type"},
		{"nothing", body(200, kind, ""), "does not parse"},
		{"noise", body(200, kind, strings.Repeat("\x30\x82", 1000)), "does not parse"},
		{"try later", body(200, kind, string(xocsp.TryLaterErrorResponse)), "try later"},
		{"unauthorized", body(200, kind, string(xocsp.UnauthorizedErrorResponse)), "unauthorized"},
		{"endless", func(*http.Request, *xocsp.Request) (*http.Response, error) { return reply(200, kind, endless{}), nil }, "more than 65536 bytes"},
		{"cut off", func(*http.Request, *xocsp.Request) (*http.Response, error) {
			return reply(200, kind, io.MultiReader(strings.NewReader("\x30"), broken{})), nil
		}, "connection refused"},
		{"damaged signature", func(_ *http.Request, q *xocsp.Request) (*http.Response, error) {
			der := ok(q)
			der[len(der)-1] ^= 1
			return good(der), nil
		}, "is not signed by"},
		{"trailing data", func(_ *http.Request, q *xocsp.Request) (*http.Response, error) { return good(append(ok(q), 0)), nil }, "does not parse"},
		{"redirect", redirect("http://other.example/there"), ""},
		{"redirect to another scheme", redirect("https://other.example/there"), `redirect to "https://other.example/there", want http`},
		{"redirect to a file", redirect("file:///there"), "want http"},
		{"redirect with a password", redirect("http://a:b@other.example/there"), "want http"},
		{"redirect in circles", redirect("http://other.example/round"), "more than 3 redirects"},
	} {
		r.answers(c.respond)
		var reported []error
		hard := checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r, Report: func(err error) { reported = append(reported, err) }})
		d := hard.Check(t.Context(), alice)
		if c.want == "" {
			refused(t, c.name, d)
			continue
		}
		refused(t, c.name, d, "whether it is revoked is not known: the OCSP responder of CN=testca intermediate ", c.want)
		if len(reported) != 1 || !strings.Contains(reported[0].Error(), c.want) || !strings.Contains(reported[0].Error(), `ocsp: responder "http://ocsp.example/": `) {
			t.Errorf("%s: reported %v", c.name, reported)
		}
		if d != nil && d.RetryAfter <= 0 {
			t.Errorf("%s: no time to try again", c.name)
		}
		soft := checker(t, ocsp.Config{Mode: ocsp.SoftFail, Transport: r, Report: func(err error) { reported = append(reported, err) }})
		refused(t, c.name+", soft", soft.Check(t.Context(), alice))
		if len(reported) != 2 {
			t.Errorf("%s: what passes is not reported", c.name)
		}
		if s := soft.Status(); s.Asked != 1 || s.Unanswered != 1 || s.Good != 0 {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errDown }

func TestWhomIsAsked(t *testing.T) {
	r := newResponder(t)
	for _, c := range []struct {
		name string
		urls []string
		want []string // who is asked
		hard string
	}{
		{"nobody", nil, nil, "it names no OCSP responder"},
		{"no address that is HTTP", []string{"ldap://a/", "file:///etc/passwd", "http:///x", "http://u:p@a/", "a", "http://" + strings.Repeat("a", 3000)}, nil, "it names no OCSP responder"},
		{"one", []string{"http://one.example/x"}, []string{"one.example/x"}, ""},
		{"the second when the first fails", []string{"http://down.example/", "http://two.example/"}, []string{"down.example/", "two.example/"}, ""},
		{"three at most", []string{"http://down.example/1", "http://down.example/2", "http://down.example/3", "http://four.example/"}, []string{"down.example/1", "down.example/2", "down.example/3"}, "gives no answer that counts"},
	} {
		answer := r.respond
		r.answers(func(req *http.Request, q *xocsp.Request) (*http.Response, error) {
			if req.URL.Host == "down.example" {
				return nil, errDown
			}
			return answer(req, q)
		})
		r.asked = nil
		d := checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r}).Check(t.Context(), r.leaf("alice@a.example", c.urls...))
		if c.hard == "" {
			refused(t, c.name, d)
		} else {
			refused(t, c.name, d, c.hard)
		}
		if !slices.Equal(r.asked, c.want) {
			t.Errorf("%s: asked %q, want %q", c.name, r.asked, c.want)
		}
		r.answers(answer)
	}
	soft := checker(t, ocsp.Config{Mode: ocsp.SoftFail, Transport: r})
	refused(t, "no responder, soft", soft.Check(t.Context(), r.leaf("alice@a.example")))
	for name, chain := range map[string][]*x509.Certificate{"empty": nil, "nil": {nil}} {
		refused(t, name, soft.Check(t.Context(), chain), "no verified certificate")
	}
}

// TestIntermediates are asked about where they name a responder.
func TestIntermediates(t *testing.T) {
	r := newResponder(t)
	root := r.ca
	named := r.ca.Reissued(t, func(c *x509.Certificate) { c.OCSPServer = []string{"http://root.example/"} })
	alice := r.leaf("alice@a.example", address)
	alice[1] = named.IntermediateCert()
	revoked := false
	r.answers(func(req *http.Request, q *xocsp.Request) (*http.Response, error) {
		if req.URL.Host != "root.example" {
			return good(r.sign(xocsp.Response{Status: xocsp.Good}, q, alice[1], alice[1], r.ca.IntermediateKey(), false)), nil
		}
		status := xocsp.Good
		if revoked {
			status = xocsp.Revoked
		}
		return good(r.sign(xocsp.Response{Status: status}, q, root.RootCert(), root.RootCert(), root.RootKey(), false)), nil
	})
	refused(t, "good", checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r}).Check(t.Context(), alice))
	revoked = true
	c := checker(t, ocsp.Config{Mode: ocsp.SoftFail, Transport: r})
	refused(t, "revoked", c.Check(t.Context(), alice), "certificate for email:alice@a.example: its authority CN=testca intermediate ", "was revoked on", "says the OCSP responder of CN=testca root ", "one by an authority that is not revoked")
	// Another peer of that authority is refused without a question.
	before, bob := r.questions(), r.leaf("bob@a.example", address)
	bob[1] = alice[1]
	refused(t, "of a revoked authority", c.Check(t.Context(), bob), "its authority")
	if n := r.questions() - before; n != 0 {
		t.Errorf("%d questions about what is known", n)
	}
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResponder(t)
		alice := r.leaf("alice@a.example", address)
		c := checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r, MaxCache: 30 * time.Minute})
		asks := func(name string, questions int, words ...string) {
			t.Helper()
			before := r.questions()
			refused(t, name, c.Check(t.Context(), alice), words...)
			if n := r.questions() - before; n != questions {
				t.Errorf("%s: %d questions, want %d", name, n, questions)
			}
		}
		now := time.Now()
		r.says(xocsp.Response{Status: xocsp.Good, ThisUpdate: now, NextUpdate: now.Add(10 * time.Minute)})
		asks("first", 1)
		asks("again", 0)
		time.Sleep(10 * time.Minute)
		asks("in its last moment", 0)
		time.Sleep(time.Second)
		r.says(xocsp.Response{Status: xocsp.Good, ThisUpdate: now, NextUpdate: now.Add(10 * time.Hour)})
		asks("at its next update", 1)
		time.Sleep(30 * time.Minute)
		asks("until the longest time", 0)
		time.Sleep(time.Second)
		r.answers(down)
		asks("the responder is down", 1, "gives no answer that counts")
		asks("and is left alone for a while", 0, "gives no answer that counts")
		time.Sleep(10 * time.Second)
		asks("then asked again", 1, "gives no answer that counts")
		time.Sleep(11 * time.Second)
		r.says(xocsp.Response{Status: xocsp.Good})
		asks("it is back", 1)
		time.Sleep(31 * time.Minute)
		r.says(xocsp.Response{Status: xocsp.Revoked})
		asks("revoked", 1, "it was revoked on")
		r.says(xocsp.Response{Status: xocsp.Good})
		asks("what was revoked stays so", 0, "it was revoked on")
		time.Sleep(9 * time.Hour)
		asks("for ever", 0, "it was revoked on")
		if s := c.Status(); s.Revoked != 1 || s.Good != 0 || s.Asked != 6 || s.Unanswered != 2 {
			t.Errorf("status %+v", s)
		}
	})
}

// TestRevokedAreForgottenWithTheirCertificates: else the memory would only grow.
func TestRevokedAreForgottenWithTheirCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResponder(t)
		r.says(xocsp.Response{Status: xocsp.Revoked})
		c := checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r})
		leaf := r.leaf("alice@a.example", address)
		number := *leaf[0]
		show := func(n int) {
			for range n {
				number.SerialNumber = testca.New(t).RootCert().SerialNumber
				one := number
				refused(t, "revoked", c.Check(t.Context(), []*x509.Certificate{&one, leaf[1], leaf[2]}), "it was revoked on")
			}
		}
		show(1000)
		if s := c.Status(); s.Revoked != 1000 {
			t.Errorf("%d are known, want 1000", s.Revoked)
		}
		time.Sleep(time.Until(leaf[0].NotAfter) + time.Second)
		show(24)
		if s := c.Status(); s.Revoked > 30 {
			t.Errorf("%d are known, of which 1000 have expired", s.Revoked)
		}
	})
}

// TestNobodyWaitsForEver: a responder that hangs holds nobody beyond the context, nor
// beyond the timeout.
func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResponder(t)
		alice := r.leaf("alice@a.example", address, "http://two.example/", "http://three.example/")
		r.answers(hang)
		for _, c := range []struct {
			context, timeout, want time.Duration
		}{{time.Second, 0, time.Second}, {time.Minute, 0, 3 * time.Second}, {time.Minute, 7 * time.Second, 7 * time.Second}} {
			for _, mode := range []ocsp.FailMode{ocsp.HardFail, ocsp.SoftFail} {
				ctx, cancel := context.WithTimeout(t.Context(), c.context)
				start := time.Now()
				d := checker(t, ocsp.Config{Mode: mode, Timeout: c.timeout, Transport: r}).Check(ctx, alice)
				if took := time.Since(start); took != c.want || (d == nil) != (mode == ocsp.SoftFail) {
					t.Errorf("with %v and timeout %v it took %v, want %v: %v", c.context, c.timeout, took, c.want, d)
				}
				cancel()
			}
		}
	})
}

// TestOneAsksForAll: many who come at the same time make one question, and one who
// gives up takes nobody along.
func TestOneAsksForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newResponder(t)
		alice := r.leaf("alice@a.example", address)
		answer := r.respond
		r.answers(func(req *http.Request, q *xocsp.Request) (*http.Response, error) {
			select {
			case <-time.After(2 * time.Second):
				return answer(req, q)
			case <-req.Context().Done():
				return nil, context.Cause(req.Context())
			}
		})
		c := checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r})
		ctx, cancel := context.WithCancelCause(t.Context())
		var all sync.WaitGroup
		var passed atomic.Int32
		all.Go(func() { refused(t, "called off", c.Check(ctx, alice), "is not known", "gone home") })
		synctest.Wait()
		for range 99 {
			all.Go(func() {
				if c.Check(t.Context(), alice) == nil {
					passed.Add(1)
				}
			})
		}
		impatient, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		all.Go(func() { refused(t, "impatient", c.Check(impatient, alice), "no answer in time") })
		time.Sleep(time.Second)
		cancel(errors.New("gone home"))
		all.Wait()
		if n := r.questions(); passed.Load() != 99 || n != 2 {
			t.Errorf("%d of 99 passed, with %d questions, want 2", passed.Load(), n)
		}
	})
}

// FuzzResponse: nothing that the authority has not signed counts.
func FuzzResponse(f *testing.F) {
	r := newResponder(f)
	alice := r.leaf("alice@a.example", address)
	q := &xocsp.Request{SerialNumber: alice[0].SerialNumber}
	mallory := r.ca.Client(f, "mallory@a.example")
	for _, status := range []int{xocsp.Unknown, xocsp.Revoked, xocsp.Good} {
		f.Add(r.sign(xocsp.Response{Status: status}, q, alice[1], mallory.Chain[0], mallory.Key, true))
		f.Add(r.sign(xocsp.Response{Status: status}, q, alice[1], mallory.Chain[0], mallory.Key, false))
	}
	f.Add(xocsp.TryLaterErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		r.answers(func(*http.Request, *xocsp.Request) (*http.Response, error) { return good(der), nil })
		d := checker(t, ocsp.Config{Mode: ocsp.HardFail, Transport: r}).Check(t.Context(), alice)
		if d == nil || strings.Contains(d.Got, "was revoked on") {
			t.Errorf("%x counts: %v", der, d)
		}
	})
}
