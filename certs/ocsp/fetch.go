package ocsp

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	xocsp "golang.org/x/crypto/ocsp"
)

// Bounds of what we ask for and read.
const (
	maxResponders = 3
	maxURL        = 2048
	maxResponse   = 64 << 10 // an answer has some 2 KiB, with a responder's certificate
	maxHeader     = 16 << 10
	maxRedirects  = 3
)

// newTransport is for short exchanges with few hosts.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second,
	}
}

// responders gives the addresses that a certificate names for questions about it (RFC
// 5280, section 4.2.2.1).
func responders(cert *x509.Certificate) (urls []string) {
	for _, s := range cert.OCSPServer {
		if u, err := url.Parse(s); err == nil && len(s) <= maxURL && usable(u) && len(urls) < maxResponders {
			urls = append(urls, s)
		}
	}
	return urls
}

// usable reports whether we ask there at all.
func usable(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// checkRedirect follows a responder within its scheme only.
func checkRedirect(req *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case !usable(req.URL) || req.URL.Scheme != via[0].URL.Scheme:
		return fmt.Errorf("redirect to %s, want %s", quote(req.URL.Redacted()), via[0].URL.Scheme)
	}
	return nil
}

// answer is what a responder says about one certificate.
type answer struct {
	revoked *revoked  // nil: it is good
	until   time.Time // of a good one, when to ask again
}

// ask goes through the responders until one gives an answer that counts.
func (c *Checker) ask(ctx context.Context, cert, issuer *x509.Certificate, urls []string) (*answer, error) {
	question, err := xocsp.CreateRequest(cert, issuer, nil)
	if err != nil {
		return nil, fmt.Errorf("ocsp: cannot ask about %s: %w", nameOf(cert), err)
	}
	var all []error
	for _, u := range urls {
		var a *answer
		body, err := c.post(ctx, u, question)
		if err == nil {
			a, err = judge(body, cert, issuer, time.Now())
		}
		if err == nil {
			return a, nil
		}
		all = append(all, fmt.Errorf("ocsp: responder %s: %w", quote(u), err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(all...)
}

// post sends a question (RFC 6960, appendix A).
func (c *Checker) post(ctx context.Context, url string, question []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(question))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	req.Header.Set("Accept", "application/ocsp-response")
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answers with HTTP status %d, want 200", resp.StatusCode)
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/ocsp-response" {
		return nil, fmt.Errorf("answers with content type %s, want application/ocsp-response", quote(resp.Header.Get("Content-Type")))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse+1))
	switch {
	case err != nil:
		return nil, err
	case len(body) > maxResponse:
		return nil, fmt.Errorf("answers with more than %d bytes", maxResponse)
	}
	return body, nil
}

// quote shows a text from outside: bounded, quoted, in ASCII.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}
