package broker

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// counters are what status and metrics show. No label is one that a peer can choose.
type counters struct {
	accepted, denied, calls, callsDenied atomic.Uint64
	handshakes                           atomic.Int64 // without a verdict yet
	droppedEarly                         atomic.Uint64
	reviews, ended                       atomic.Uint64
	received, sent                       atomic.Uint64 // of connections that are over

	mu       sync.Mutex
	byReason map[denialKey]uint64
}

type denialKey struct {
	code  validator.Code
	check validator.Check
}

// refused counts a connection that was denied.
func (c *counters) refused(d *validator.Denial) {
	c.denied.Add(1)
	key := denialKey{d.Code, d.Check}
	if !slices.Contains(validator.Checks(), key.check) {
		key.check = "other" // a custom validator's own word
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byReason == nil {
		c.byReason = make(map[denialKey]uint64)
	}
	c.byReason[key]++
}

// WriteMetrics writes the daemon's figures in the Prometheus text format, version
// 0.0.4. Pyro.Daemon.Metrics returns the same to those who may call it.
func (d *Daemon) WriteMetrics(w io.Writer) error {
	var b strings.Builder
	metric := func(name, kind, help string, value any) {
		fmt.Fprintf(&b, "# HELP pyrossl_%s %s\n# TYPE pyrossl_%s %s\npyrossl_%s %v\n", name, help, name, kind, name, value)
	}
	c := &d.counters
	received, sent := c.received.Load(), c.sent.Load()
	calls, inFlight := c.calls.Load(), 0
	d.mu.Lock()
	open := len(d.open)
	for conn := range d.open {
		r, s := conn.session.Bytes()
		received, sent = received+r, sent+s
		n, _ := conn.session.InFlight()
		inFlight += n
	}
	d.mu.Unlock()
	metric("connections_accepted_total", "counter", "Connections that were welcomed.", c.accepted.Load())
	fmt.Fprintf(&b, "# HELP pyrossl_connections_denied_total Connections that were refused, by Pyro's code and the check that failed.\n# TYPE pyrossl_connections_denied_total counter\n")
	c.mu.Lock()
	keys := make([]denialKey, 0, len(c.byReason))
	for k := range c.byReason {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b denialKey) int {
		return strings.Compare(fmt.Sprint(a.code, a.check), fmt.Sprint(b.code, b.check))
	})
	for _, k := range keys {
		fmt.Fprintf(&b, "pyrossl_connections_denied_total{code=%q,check=%q} %d\n", fmt.Sprint(uint8(k.code)), k.check, c.byReason[k])
	}
	c.mu.Unlock()
	metric("connections_dropped_total", "counter", "Sockets closed before TLS because too many handshakes were under way.", c.droppedEarly.Load())
	metric("connections_ended_total", "counter", "Sessions that the daemon ended because their reasons had.", c.ended.Load())
	metric("handshakes", "gauge", "Connections without a verdict yet.", c.handshakes.Load())
	metric("sessions", "gauge", "Connections that are open.", open)
	metric("calls_total", "counter", "Calls that came.", calls)
	metric("calls_denied_total", "counter", "Calls that the authorizer denied.", c.callsDenied.Load())
	metric("calls_in_flight", "gauge", "Calls without an answer yet.", inFlight)
	metric("received_bytes_total", "counter", "Bytes of TLS records from clients.", received)
	metric("sent_bytes_total", "counter", "Bytes of TLS records to clients.", sent)
	metric("reviews_total", "counter", "Times that all that lives was gone over because something had changed.", c.reviews.Load())
	src := d.config.Certs.Status()
	metric("certificate_days_left", "gauge", "Days until the daemon's certificate expires.", fmt.Sprintf("%.3f", time.Until(src.NotAfter).Hours()/24))
	metric("certificate_generation", "gauge", "Grows with each reload of the certificates that succeeded.", src.Generation)
	metric("certificate_reload_age_seconds", "gauge", "Seconds since the certificates were taken up.", fmt.Sprintf("%.0f", time.Since(src.Loaded).Seconds()))
	failing := 0
	if src.LastError != "" {
		failing = 1
	}
	metric("certificate_reload_failing", "gauge", "1 while the certificate files cannot be used and the last good ones are.", failing)
	stale, revoked := 0, 0
	for _, l := range src.Lists {
		if l.Stale && !l.Superseded {
			stale++
		}
	}
	if src.OwnRevoked != "" {
		revoked = 1
	}
	metric("certificate_revoked", "gauge", "1 while the daemon's own certificate is on a revocation list or the deny list.", revoked)
	metric("revocation_lists", "gauge", "Revocation lists and deny lists that clients are checked against.", len(src.Lists))
	metric("revocation_lists_stale", "gauge", "Those of them in force that are out of date.", stale)
	_, err := io.WriteString(w, b.String())
	return err
}
