package ocsp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// FailMode is what happens to a certificate of which no responder says anything.
type FailMode uint8

const (
	// HardFail refuses a peer when there is no answer about one of its certificates
	// that names a responder, and when its own certificate names none.
	HardFail FailMode = iota + 1
	// SoftFail lets such a peer pass. Whoever can keep us from reaching the responder
	// can then keep a revocation from being seen.
	SoftFail
)

// Config says how to ask. Only Mode must be set.
type Config struct {
	Mode FailMode

	// Timeout bounds the questions about one certificate, 3 s by default.
	Timeout time.Duration
	// MaxCache is how long an answer is kept, even if its nextUpdate lies later: the
	// longest time that a revocation may go unnoticed. An hour by default.
	MaxCache time.Duration
	// Transport, if not nil, carries the requests.
	Transport http.RoundTripper
	// Report, if not nil, is called for each question that got no answer which counts,
	// also if the peer passes. It is called from many goroutines and must not wait.
	Report func(error)
}

// Defaults and bounds.
const (
	defaultTimeout  = 3 * time.Second
	defaultMaxCache = time.Hour
	// maxGood bounds the answers kept, of 200 bytes each.
	maxGood = 16384
	// failedFor is for how long a certificate is not asked about again after a
	// question without an answer.
	failedFor = 10 * time.Second
)

// A Checker asks and remembers. It is safe for concurrent use.
type Checker struct {
	config Config
	client *http.Client

	mu sync.Mutex
	// revoked grows by one entry for each revoked certificate that was shown, and
	// forgets those that have expired.
	revoked map[certKey]revoked
	sweepAt int                   // how many there are when it is time to look for expired ones
	good    map[certKey]time.Time // until when
	failed  map[certKey]failure
	asking  map[certKey]chan struct{} // closed when there is an answer, or none
	asked   uint64
	without uint64
}

// certKey identifies a certificate: by its number, and its authority's key.
type certKey struct {
	issuer [sha256.Size]byte
	serial string
}

type revoked struct {
	at       time.Time
	reason   int
	notAfter time.Time
}

type failure struct {
	err   error
	until time.Time
}

// New makes a checker. It refuses a Config that does not say what happens without an
// answer.
func New(config Config) (*Checker, error) {
	switch {
	case config.Mode != HardFail && config.Mode != SoftFail:
		return nil, errors.New("ocsp: Config.Mode says nothing, want HardFail or SoftFail: what happens to a peer when no responder answers")
	case config.Timeout < 0 || config.MaxCache < 0:
		return nil, errors.New("ocsp: negative Timeout or MaxCache in Config")
	}
	if config.Timeout == 0 {
		config.Timeout = defaultTimeout
	}
	if config.MaxCache == 0 {
		config.MaxCache = defaultMaxCache
	}
	if config.Transport == nil {
		config.Transport = newTransport()
	}
	return &Checker{
		config: config, client: &http.Client{Transport: config.Transport, CheckRedirect: checkRedirect},
		revoked: make(map[certKey]revoked), sweepAt: 1024, good: make(map[certKey]time.Time),
		failed: make(map[certKey]failure), asking: make(map[certKey]chan struct{}),
	}, nil
}

// Close lets go of idle connections to responders.
func (c *Checker) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// Status is what a checker shows to people.
type Status struct {
	Revoked    int    // certificates that are known to be revoked
	Good       int    // answers kept
	Asked      uint64 // questions
	Unanswered uint64 // of them without an answer that counts
}

// Status gives the figures of the moment.
func (c *Checker) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Status{Revoked: len(c.revoked), Good: len(c.good), Asked: c.asked, Unanswered: c.without}
}

// Check asks about every certificate of a verified chain but the trust anchor, which
// comes last, as far as the answers are not known. Nil means that nothing is known
// against the peer. The denial may be shown to the peer; its Err, which names the
// responder, is for our log.
func (c *Checker) Check(ctx context.Context, chain []*x509.Certificate) *validator.Denial {
	if len(chain) == 0 || slices.Contains(chain, nil) {
		return security("no verified certificate", "a certificate by a trusted authority")
	}
	// What is known already is told without asking about the others.
	for i := range chain[:len(chain)-1] {
		if r, ok := c.known(keyOf(chain[i], chain[i+1])); ok {
			return r.denial(chain, i)
		}
	}
	for i := range chain[:len(chain)-1] {
		if d := c.checkOne(ctx, chain, i); d != nil {
			return d
		}
	}
	return nil
}

func (c *Checker) checkOne(ctx context.Context, chain []*x509.Certificate, i int) *validator.Denial {
	cert, issuer := chain[i], chain[i+1]
	urls := responders(cert)
	if len(urls) == 0 {
		if i == 0 && c.config.Mode == HardFail {
			return security(fmt.Sprintf("certificate for %s: whether it is revoked is not known: it names no OCSP responder", nameOf(cert)), "one that names its authority's responder")
		}
		return nil
	}
	r, err := c.learn(ctx, cert, issuer, urls)
	switch {
	case r != nil:
		return r.denial(chain, i)
	case err == nil || c.config.Mode == SoftFail:
		return nil
	}
	d := security(fmt.Sprintf("certificate for %s: whether %s is revoked is not known: the OCSP responder of %s gives no answer that counts", nameOf(chain[0]), whose(chain, i), subject(issuer)),
		"an answer: whoever operates the side that refuses must be able to reach the responder; try again later")
	d.RetryAfter, d.Err = failedFor, err
	return d
}

func keyOf(cert, issuer *x509.Certificate) certKey {
	return certKey{sha256.Sum256(issuer.RawSubjectPublicKeyInfo), string(cert.SerialNumber.Bytes())}
}

// known reports whether a certificate is known to be revoked.
func (c *Checker) known(k certKey) (revoked, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.revoked[k]
	return r, ok
}

// learn gives what is known about a certificate, and asks if nothing is. Of several
// who want to know at the same time, one asks.
func (c *Checker) learn(ctx context.Context, cert, issuer *x509.Certificate, urls []string) (*revoked, error) {
	k := keyOf(cert, issuer)
	for {
		now := time.Now()
		c.mu.Lock()
		r, isRevoked := c.revoked[k]
		until, isGood := c.good[k]
		f, hasFailed := c.failed[k]
		wait := c.asking[k]
		if !isRevoked && !(isGood && !now.After(until)) && !(hasFailed && now.Before(f.until)) && wait == nil {
			wait = make(chan struct{})
			c.asking[k] = wait
			c.asked++
			c.mu.Unlock()
			return c.lead(ctx, k, wait, cert, issuer, urls)
		}
		c.mu.Unlock()
		switch {
		case isRevoked:
			return &r, nil
		case isGood && !now.After(until):
			return nil, nil
		case hasFailed && now.Before(f.until):
			return nil, f.err
		}
		select {
		case <-wait: // whoever asked may have been called off: look again
		case <-ctx.Done():
			return nil, fmt.Errorf("ocsp: no answer in time: %w", context.Cause(ctx))
		}
	}
}

// lead asks and lets those know who wait.
func (c *Checker) lead(ctx context.Context, k certKey, done chan struct{}, cert, issuer *x509.Certificate, urls []string) (*revoked, error) {
	asking, cancel := context.WithTimeout(ctx, c.config.Timeout)
	a, err := c.ask(asking, cert, issuer, urls)
	cancel()
	now := time.Now()
	c.mu.Lock()
	delete(c.asking, k)
	var r *revoked
	switch {
	case err == nil && a.revoked != nil:
		r = a.revoked
		c.remember(k, *r, now)
	case err == nil:
		makeRoom(c.good, maxGood)
		c.good[k] = earlier(a.until, now.Add(c.config.MaxCache))
		delete(c.failed, k)
	default:
		c.without++
		// Who was called off says nothing about the responder.
		if ctx.Err() == nil {
			makeRoom(c.failed, maxGood)
			c.failed[k] = failure{err, now.Add(failedFor)}
		}
	}
	close(done)
	c.mu.Unlock()
	if err != nil && c.config.Report != nil {
		c.config.Report(err)
	}
	return r, err
}

// remember takes a revocation, and forgets those of certificates that have expired:
// they are refused for that now.
func (c *Checker) remember(k certKey, r revoked, now time.Time) {
	c.revoked[k] = r
	delete(c.good, k)
	delete(c.failed, k)
	if len(c.revoked) < c.sweepAt {
		return
	}
	for k, r := range c.revoked {
		if now.After(r.notAfter) {
			delete(c.revoked, k)
		}
	}
	c.sweepAt = max(1024, 2*len(c.revoked))
}

// makeRoom forgets whatever comes first: it costs another question, no more.
func makeRoom[V any](m map[certKey]V, most int) {
	for k := range m {
		if len(m) < most {
			return
		}
		delete(m, k)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
