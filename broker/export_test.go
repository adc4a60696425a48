package broker

import (
	"context"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/validator"
)

// RawBatch sends args as the arguments of a batch.
func (p *Proxy) RawBatch(ctx context.Context, args ...any) error {
	resp, _, err := p.call(ctx, batchMethod, wire.Batch, nil, payload{args: args})
	if err != nil {
		return err
	}
	defer resp.Release()
	if resp.Type == wire.Error {
		return p.remoteError(batchMethod, resp.Payload)
	}
	return nil
}

// ParseBatchEntry is what a daemon does with a call of a batch.
func ParseBatchEntry(raw []byte, index int) (args int, err error) {
	e, err := parseBatchEntry(raw, index)
	return e.n, err
}

// Anchors counts the open connections by the authority that vouched for the client.
func (d *Daemon) Anchors() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := make(map[string]int)
	for c := range d.open {
		n[validator.IssuerOf(last(c.grounds.verified))]++
	}
	return n
}

// Resumed reports whether any open connection was resumed.
func (d *Daemon) Resumed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		if c.tls.ConnectionState().DidResume {
			return true
		}
	}
	return false
}

// Disconnect ends all connections, and waits for it.
func (d *Daemon) Disconnect() {
	d.mu.Lock()
	var open []*connection
	for c := range d.open {
		open = append(open, c)
	}
	d.mu.Unlock()
	for _, c := range open {
		c.close("for a test")
		for d.has(c) {
			time.Sleep(time.Millisecond)
		}
	}
}

func (d *Daemon) has(c *connection) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.open[c]
	return ok
}

// MaxScrapersPerAddress bounds the connections to ServeMetrics.
const MaxScrapersPerAddress = maxScrapersPerAddress

// Incident is what the daemon has kept of one.
func (d *Daemon) Incident(id string) (Incident, error) { return (&Self{d}).Incident(id) }
