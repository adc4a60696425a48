package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Status is what operators see of an engine.
type Status struct {
	Mode      string    `json:"mode"`                // embedded, cluster or node
	Connected bool      `json:"connected"`           // to the server
	Since     time.Time `json:"since"`               // of that
	Server    string    `json:"server"`              // its name
	Nodes     []string  `json:"nodes,omitempty"`     // of the cluster that are connected to this one, or that a broker was told
	Replicas  int       `json:"replicas"`            // of each stream
	Sync      string    `json:"sync,omitempty"`      // of an embedded engine or node
	Directory string    `json:"directory,omitempty"` // likewise
	Streams   int       `json:"streams"`
	Store     uint64    `json:"store_bytes"`
	MaxStore  int64     `json:"max_store_bytes,omitempty"` // of an embedded engine or node
	Error     string    `json:"error,omitempty"`           // why it is not healthy
}

// healthTime bounds how long an engine may take to answer a question.
const healthTime = 5 * time.Second

// Healthy asks JetStream whether it works: nil if it does.
func (e *Engine) Healthy(ctx context.Context) error {
	_, err := e.account(ctx)
	return err
}

func (e *Engine) account(ctx context.Context) (*jetstream.AccountInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	info, err := e.jet.AccountInfo(ctx)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	return info, nil
}

// Status describes the engine as it is.
func (e *Engine) Status(ctx context.Context) Status {
	e.link.mu.Lock()
	st := Status{Mode: e.mode, Connected: e.link.up, Since: e.link.since.UTC(), Replicas: e.replicas}
	e.link.mu.Unlock()
	st.Server = e.conn.ConnectedServerName()
	if e.mode == "cluster" {
		st.Nodes = e.conn.Servers()
	}
	if e.directory != nil {
		st.Sync, st.Directory = e.sync.String(), e.directory.path
		if c := e.server.JetStreamConfig(); c != nil {
			st.MaxStore = c.MaxStore
		}
	}
	info, err := e.account(ctx)
	if err != nil {
		st.Error = err.Error()
		return st
	}
	st.Streams, st.Store = info.Streams, info.Store
	return st
}
