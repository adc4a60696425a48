package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/codec"
	"github.com/pyrossl/pyrossl/validator"
)

// Kind says what became of a call that failed. It is an error itself, so that
// errors.Is(err, broker.KindDenied) asks for it.
type Kind uint8

// Kinds of failure. The first ones travel on the wire (docs/protocol.md §5.4).
const (
	KindApplication = Kind(wire.KindApplication) // the method returned an error
	KindInternal    = Kind(wire.KindInternal)    // the method panicked, or its result cannot be carried
	KindDenied      = Kind(wire.KindDenied)      // not run: the caller may not
	KindNoObject    = Kind(wire.KindNoObject)    // not run: no such object
	KindNoMethod    = Kind(wire.KindNoMethod)    // not run: no such method
	KindArguments   = Kind(wire.KindArguments)   // not run: the arguments do not fit the method
	KindCanceled    = Kind(wire.KindCanceled)    // given up by the caller
	KindDeadline    = Kind(wire.KindDeadline)    // the time was up
	KindDraining    = Kind(wire.KindDraining)    // not run: the daemon takes no new calls
	KindTooLarge    = Kind(wire.KindTooLarge)    // a message exceeds the other side's limit
	KindRetry       = Kind(wire.KindRetry)       // not run: repeated, but not idempotent
	KindBusy        = Kind(wire.KindBusy)        // not run: too many calls

	// KindLost: the connection was lost. Error.MayHaveRun says what is known of
	// the call.
	KindLost Kind = 128
	// KindResult: the method ran; its result does not fit what the caller wants
	// it in.
	KindResult Kind = 129
	// KindUnreachable: no connection could be made, and nobody refused one.
	KindUnreachable Kind = 130
)

var kindTexts = map[Kind]string{
	KindApplication: "failed",
	KindInternal:    "internal error",
	KindDenied:      "denied",
	KindNoObject:    "no such object",
	KindNoMethod:    "no such method",
	KindArguments:   "wrong arguments",
	KindCanceled:    "canceled",
	KindDeadline:    "deadline exceeded",
	KindDraining:    "daemon is shutting down",
	KindTooLarge:    "message too large",
	KindRetry:       "not repeated",
	KindBusy:        "too many calls",
	KindLost:        "connection lost",
	KindResult:      "result does not fit",
	KindUnreachable: "unreachable",
}

func (k Kind) String() string {
	if t, ok := kindTexts[k]; ok {
		return t
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error makes a kind a target for errors.Is.
func (k Kind) Error() string { return "broker: " + k.String() }

// Error is why a call failed.
type Error struct {
	Kind   Kind
	Object string
	Method string
	Peer   string // host:port of the daemon
	// Message is the short text that came from the other side, or what is known
	// on this one.
	Message string
	// Incident is in the daemon's log too, with what the caller may not know.
	Incident string
	// MayHaveRun is false when the method has certainly not been run.
	MayHaveRun bool
	// Err is the local cause, if there is one.
	Err error

	name  string // of a registered error
	data  []byte // that error's value
	table *errorTable
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("broker: ")
	switch {
	case e.Method == "":
		b.WriteString(e.Peer)
	case e.Peer == "":
		fmt.Fprintf(&b, "%s.%s", e.Object, e.Method)
	default:
		fmt.Fprintf(&b, "%s.%s at %s", e.Object, e.Method, e.Peer)
	}
	b.WriteString(": ")
	if e.Kind != KindApplication || e.Message == "" {
		b.WriteString(e.Kind.String())
		if e.Message != "" {
			b.WriteString(": ")
		}
	}
	b.WriteString(e.Message)
	if e.Kind == KindLost {
		if e.MayHaveRun {
			b.WriteString(" (the method may have run)")
		} else {
			b.WriteString(" (the method has not run)")
		}
	}
	if e.Incident != "" {
		fmt.Fprintf(&b, " [incident %s]", e.Incident)
	}
	return b.String()
}

// Unwrap returns the local cause.
func (e *Error) Unwrap() error { return e.Err }

// Is matches a Kind, the errors of package context, and registered sentinels.
func (e *Error) Is(target error) bool {
	if k, ok := target.(Kind); ok {
		return e.Kind == k
	}
	switch target {
	case context.Canceled:
		return e.Kind == KindCanceled
	case context.DeadlineExceeded:
		return e.Kind == KindDeadline
	}
	if e.name == "" || e.table == nil {
		return false
	}
	known, ok := e.table.byName[e.name]
	return ok && known.typ == nil && known.sentinel == target
}

// As fills target with the value of a registered error type.
func (e *Error) As(target any) bool {
	if e.name == "" || e.table == nil {
		return false
	}
	known, ok := e.table.byName[e.name]
	p := reflect.ValueOf(target)
	if !ok || known.typ == nil || p.Kind() != reflect.Pointer || p.Elem().Type() != known.typ {
		return false
	}
	v := reflect.New(known.typ.Elem())
	if err := codec.Unmarshal(e.data, v.Interface()); err != nil {
		return false
	}
	p.Elem().Set(v)
	return true
}

// Errors names the errors that keep their meaning across the wire: daemon and
// client list the same names. A value is a sentinel, for errors.Is, or a nil
// pointer to an error type, for errors.As, whose fields the codec can carry:
//
//	var table = broker.Errors{
//		"bank.no-account": bank.ErrNoAccount,
//		"bank.overdrawn":  (*bank.OverdrawnError)(nil),
//	}
type Errors map[string]error

type errorTable struct {
	byName map[string]knownError
	names  []string // in order, so that the choice between two is the same each time
}

type knownError struct {
	sentinel error
	typ      reflect.Type // pointer type of a registered error type
}

func newErrorTable(errs Errors) (*errorTable, error) {
	t := &errorTable{byName: make(map[string]knownError)}
	for name, err := range errs {
		v := reflect.ValueOf(err)
		switch {
		case name == "" || len(name) > 255:
			return nil, fmt.Errorf("broker: error name %q, want 1 to 255 bytes", name)
		case !v.IsValid():
			return nil, fmt.Errorf("broker: error %q is nil, want a sentinel or a nil pointer to an error type", name)
		case v.Kind() == reflect.Pointer && v.IsNil():
			if err := codec.CheckType(v.Type().Elem()); err != nil {
				return nil, fmt.Errorf("broker: error %q of type %v cannot be carried: %w", name, v.Type(), err)
			}
			t.byName[name] = knownError{typ: v.Type()}
		case !v.Comparable():
			return nil, fmt.Errorf("broker: error %q of type %v is no sentinel: its values cannot be compared", name, v.Type())
		default:
			t.byName[name] = knownError{sentinel: err}
		}
		t.names = append(t.names, name)
	}
	slices.Sort(t.names)
	return t, nil
}

// body is what a caller gets for the error of a method.
func (t *errorTable) body(err error) *wire.ErrorBody {
	b := &wire.ErrorBody{Kind: wire.KindApplication, Message: err.Error()}
	for _, name := range t.names {
		known := t.byName[name]
		if known.typ == nil {
			if errors.Is(err, known.sentinel) {
				b.Name = name
				return b
			}
			continue
		}
		p := reflect.New(known.typ)
		if !errors.As(err, p.Interface()) || p.Elem().IsNil() {
			continue
		}
		if data, cerr := codec.Marshal(p.Elem().Elem().Interface()); cerr == nil {
			b.Name, b.Data = name, data
			return b
		}
	}
	switch {
	case errors.Is(err, context.Canceled):
		b.Kind = wire.KindCanceled
	case errors.Is(err, context.DeadlineExceeded):
		b.Kind = wire.KindDeadline
	}
	return b
}

// ConnectionDeniedError is why a daemon, or this side's own check of it, refused
// a connection. It is the same type whether the reason came in words, as a TLS
// alert, or was found here.
type ConnectionDeniedError struct {
	Address string // host:port
	// Code is one of Pyro's four; Check is the check that failed, Got and Want
	// what it saw and what it wanted.
	Code       validator.Code
	Check      validator.Check
	Got, Want  string
	RetryAfter time.Duration
	// Incident is in the daemon's log too; empty when it could send none.
	Incident string
	Err      error // the local cause, if there is one
}

func (e *ConnectionDeniedError) Error() string {
	d := validator.Denial{Code: e.Code, Check: e.Check, Got: e.Got, Want: e.Want}
	text := fmt.Sprintf("broker: connection denied by %s: %v", e.Address, &d)
	if e.Incident != "" {
		text += fmt.Sprintf(" [incident %s]", e.Incident)
	}
	return text
}

// Unwrap returns the local cause.
func (e *ConnectionDeniedError) Unwrap() error { return e.Err }

// Temporary reports whether the same connection may be accepted later.
func (e *ConnectionDeniedError) Temporary() bool {
	return e.Code == validator.DeniedServerTooBusy
}
