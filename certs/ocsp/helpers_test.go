package ocsp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/pyrossl/pyrossl/certs/ocsp"
	"github.com/pyrossl/pyrossl/internal/leakcheck"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

func TestMain(m *testing.M) { leakcheck.Main(m) }

const address = "http://ocsp.example/"

// responder answers requests without a network.
type responder struct {
	t  testing.TB
	ca *testca.CA

	mu      sync.Mutex
	asked   []string // hosts and paths
	respond func(req *http.Request, question *xocsp.Request) (*http.Response, error)
}

func newResponder(t testing.TB) *responder {
	r := &responder{t: t, ca: testca.New(t)}
	r.says(xocsp.Response{Status: xocsp.Good})
	return r
}

// RoundTrip makes a responder a transport.
func (r *responder) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	question, err := xocsp.ParseRequest(body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.asked = append(r.asked, req.URL.Host+req.URL.Path)
	respond := r.respond
	r.mu.Unlock()
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/ocsp-request" || len(req.Cookies()) > 0 {
		r.t.Errorf("asked with %s and %v", req.Method, req.Header)
	}
	return respond(req, question)
}

func (r *responder) answers(f func(req *http.Request, question *xocsp.Request) (*http.Response, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.respond = f
}

// says lets the intermediate answer with the template; ThisUpdate is now and NextUpdate
// in a day unless it says otherwise.
func (r *responder) says(template xocsp.Response) {
	r.answers(func(_ *http.Request, q *xocsp.Request) (*http.Response, error) {
		return good(r.sign(template, q, r.ca.IntermediateCert(), r.ca.IntermediateCert(), r.ca.IntermediateKey(), false)), nil
	})
}

// sign makes a response.
func (r *responder) sign(template xocsp.Response, q *xocsp.Request, issuer, by *x509.Certificate, key crypto.Signer, enclose bool) []byte {
	r.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	if template.ThisUpdate.IsZero() {
		template.ThisUpdate, template.NextUpdate = now, now.Add(24*time.Hour)
	}
	if template.SerialNumber == nil {
		template.SerialNumber = q.SerialNumber
	}
	if template.Status == xocsp.Revoked && template.RevokedAt.IsZero() {
		template.RevokedAt = now.Add(-time.Hour)
	}
	if enclose {
		template.Certificate = by
	}
	der, err := xocsp.CreateResponse(issuer, by, template, key)
	if err != nil {
		r.t.Fatal(err)
	}
	return der
}

func (r *responder) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

// leaf issues a client certificate that names the responders.
func (r *responder) leaf(name string, urls ...string) []*x509.Certificate {
	p := r.ca.Issue(r.t, testca.Leaf{Emails: []string{name}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Modify: func(c *x509.Certificate) { c.OCSPServer = urls }})
	return append(p.Chain, r.ca.RootCert())
}

func reply(status int, kind string, body io.Reader) *http.Response {
	return &http.Response{StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(body), ContentLength: -1}
}

func good(der []byte) *http.Response {
	return reply(http.StatusOK, "application/ocsp-response", bytes.NewReader(der))
}

func checker(t testing.TB, c ocsp.Config) *ocsp.Checker {
	t.Helper()
	o, err := ocsp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	return o
}

// refused checks a denial's words; none stand for no denial.
func refused(t testing.TB, name string, d *validator.Denial, words ...string) {
	t.Helper()
	if len(words) == 0 {
		if d != nil {
			t.Errorf("%s: %v (%v)", name, d, d.Err)
		}
		return
	}
	if d == nil {
		t.Errorf("%s: no denial", name)
		return
	}
	if d.Code != validator.DeniedSecurity || d.Got == "" || d.Want == "" {
		t.Errorf("%s: %+v", name, d)
	}
	text := d.Error()
	if strings.Contains(text, "ocsp.example") || strings.ContainsAny(text, "\n\x1b") {
		t.Errorf("%s: the peer would be told %q", name, text)
	}
	if d.Err != nil {
		text += " | " + d.Err.Error()
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s: no %q in %q", name, w, text)
		}
	}
}

var errDown = errors.New("connection refused")

func down(*http.Request, *xocsp.Request) (*http.Response, error) { return nil, errDown }

// hang answers when the request is called off.
func hang(req *http.Request, _ *xocsp.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}
