package zoo

import (
	"context"
	"iter"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// Feed is a stream with a name.
type Feed iter.Seq2[Account, error]

// Gate is what the park makes for its visitors.
type Gate interface{ Pass(n int) (int, error) }

//go:generate go run github.com/pyrossl/pyrossl/cmd/broker gen --interface Park --policy park.yaml

// Park has streams and references.
type Park interface {
	// Count yields numbers, and an error instead of number bad.
	//
	//pyrossl:idempotent
	Count(ctx context.Context, to, bad int) iter.Seq2[int, error]
	// Accounts yields structs, or fails before it begins.
	Accounts(ctx context.Context, owners []Name) (Feed, error)
	Blobs(size ...int) iter.Seq2[[]byte, error]
	Times(from time.Time) iter.Seq2[time.Time, error]
	None() iter.Seq2[string, error]
	// Sum takes a stream between its other arguments.
	Sum(ctx context.Context, start int, numbers iter.Seq2[int, error], factor uint8) (int, error)
	Names(feed Feed) ([]Name, error)
	Measure(ctx context.Context, blobs iter.Seq2[[]byte, error]) (int, error)
	// Double does both at once.
	Double(ctx context.Context, numbers iter.Seq2[int, error]) iter.Seq2[string, error]
	// Tell calls an object that it is given.
	Tell(ctx context.Context, word string, to *broker.Proxy, data []byte) (string, error)
	// Each does so for all of a stream.
	Each(ctx context.Context, to *broker.Proxy, numbers iter.Seq2[int, error]) iter.Seq2[string, error]
	Open(ctx context.Context, start int) (*broker.Local, error)
	Gate() Gate
	Back(ctx context.Context, p *broker.Proxy) (*broker.Proxy, error)
}
