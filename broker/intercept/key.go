package intercept

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// Key says which calls count together: those with the same text. Calls with an empty one
// are not limited.
type Key func(*broker.CallInfo) string

// ByIdentity is the key of who calls. It is empty on the caller's side, so that a limit
// for those who call a daemon is none for what the daemon calls itself, their callbacks
// included.
func ByIdentity(call *broker.CallInfo) string {
	if call.Peer != nil {
		return call.Peer.Identity.Name
	}
	return ""
}

// ByMethod is the key of what is called, whoever calls, on either side.
func ByMethod(call *broker.CallInfo) string { return call.Object + "." + call.Method }

// outcome is what became of a call, as one word or a few: "ok", or the text of a kind.
func outcome(call *broker.CallInfo, err error) (broker.Kind, string) {
	if err == nil {
		return 0, ok
	}
	if kind := call.Kind(err); kind != 0 {
		return kind, kind.String()
	}
	var denied *broker.ConnectionDeniedError
	if errors.As(err, &denied) {
		return 0, connectionDenied
	}
	return 0, other
}

const (
	ok               = "ok"
	connectionDenied = "connection denied"
	other            = "other" // an interceptor's own error, or a client that is closed
)

// ofPeer reports whether a call goes to an object that the other side exports over its
// own connection, under a name that no other object has.
func ofPeer(call *broker.CallInfo) bool {
	return !call.Incoming && strings.HasPrefix(call.URI, "PYROPEER:")
}

// clock is the time since an interceptor was made. It never goes back.
type clock struct{ begun time.Time }

func newClock() clock { return clock{time.Now()} }

func (c clock) now() time.Duration { return time.Since(c.begun) }

type next = func(context.Context) error
