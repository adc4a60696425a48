package broker

import (
	"context"

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
