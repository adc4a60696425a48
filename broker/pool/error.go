package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// DownError is why no daemon could be called: for each of them, the reason.
type DownError struct {
	Members []Member

	at time.Time
}

// shown is how many daemons the text tells of.
const shown = 5

func (e *DownError) Error() string {
	var b strings.Builder
	switch len(e.Members) {
	case 0:
		return "pool: no daemon is known"
	case 1:
		b.WriteString("pool: the only daemon is down: ")
	default:
		fmt.Fprintf(&b, "pool: all %d daemons are down: ", len(e.Members))
	}
	for i, m := range e.Members {
		if i == shown {
			fmt.Fprintf(&b, "; and %d more", len(e.Members)-shown)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		reason := "it is being tried"
		if m.Err != nil {
			reason = strings.TrimPrefix(m.Err.Error(), "broker: ")
		}
		fmt.Fprintf(&b, "%s: %s", m.URI, reason)
		if wait := m.Ejected.Sub(e.at); wait > 0 {
			fmt.Fprintf(&b, " (ejected for another %v)", wait.Round(time.Millisecond))
		}
	}
	return b.String()
}

// Unwrap returns the daemons' errors.
func (e *DownError) Unwrap() []error {
	var all []error
	for _, m := range e.Members {
		if m.Err != nil {
			all = append(all, m.Err)
		}
	}
	return all
}

// down describes the pool as it is. It needs p.mu.
func (p *Pool) down() *DownError { return &DownError{Members: p.describe(), at: time.Now()} }

// denied reports whether no daemon will ever accept a connection as things are. It needs
// p.mu.
func (p *Pool) denied() bool {
	for _, m := range p.members {
		var denied *broker.ConnectionDeniedError
		if !errors.As(m.err, &denied) || denied.Temporary() {
			return false
		}
	}
	return true
}

// failure is the error of a call that no daemon was found for.
func (t *try) failure(method string, err error) error {
	e := &broker.Error{Method: method, MayHaveRun: t.mayHaveRun, Err: err}
	var down *DownError
	switch {
	case errors.As(err, &down):
		e.Kind, e.Message = broker.KindUnreachable, strings.TrimPrefix(err.Error(), "pool: ")
	case errors.Is(err, context.DeadlineExceeded):
		e.Kind = broker.KindDeadline
	case errors.Is(err, context.Canceled):
		e.Kind = broker.KindCanceled
	default:
		return err
	}
	e.Object = t.pool.object()
	if e.Method == "" {
		e.Peer = "pool of " + e.Object // nothing is called yet
	}
	return e
}

// object is its name at the first daemon.
func (p *Pool) object() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.members) == 0 {
		return ""
	}
	return p.members[0].proxy.URI().Object
}
