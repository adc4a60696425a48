package wire

import (
	"fmt"
	"time"

	"github.com/pyrossl/pyrossl/codec"
)

// Version is the protocol's version: the "1" of ALPN "pyrossl/1".
const Version = 1

// Limits are what one end accepts from the other. PROTOCOL §4.4.
type Limits struct {
	// Calls is the number of calls that may be in flight towards this end.
	Calls uint32 `cbor:"1,keyasint"`
	// Message is the largest message, in bytes.
	Message uint32 `cbor:"2,keyasint"`
	// Window bounds the bytes of all unanswered calls towards this end, and of
	// all unfinished fragmented messages.
	Window uint32 `cbor:"3,keyasint"`
	// IdleSeconds without a byte after which this end gives a connection up.
	IdleSeconds uint32 `cbor:"4,keyasint"`
}

// Check refuses limits with which no call could be made.
func (l Limits) Check() error {
	switch {
	case l.Calls == 0 || l.Calls > MaxSlots:
		return fmt.Errorf("wire: limit of %d calls in flight, want 1 to %d", l.Calls, MaxSlots)
	case l.Message < MaxFrame || l.Message > 1<<31-1:
		return fmt.Errorf("wire: message limit of %d bytes, want %d to %d", l.Message, MaxFrame, 1<<31-1)
	case l.Window < l.Message || l.Window > 1<<31-1:
		return fmt.Errorf("wire: window of %d bytes, want at least the message limit of %d", l.Window, l.Message)
	case l.IdleSeconds == 0 || l.IdleSeconds > 24*3600:
		return fmt.Errorf("wire: idle limit of %d s, want 1 to %d", l.IdleSeconds, 24*3600)
	}
	return nil
}

// WelcomeBody is the verdict of a daemon that accepts. PROTOCOL §4.4.
type WelcomeBody struct {
	Version   uint32   `cbor:"1,keyasint"`
	Session   string   `cbor:"2,keyasint"`
	Principal string   `cbor:"3,keyasint"` // the certificate's name that counted
	Name      string   `cbor:"4,keyasint"` // the name that the mapping rules gave
	Roles     []string `cbor:"5,keyasint,omitempty"`
	User      string   `cbor:"6,keyasint,omitempty"` // proved by the identification
	NotAfter  int64    `cbor:"7,keyasint"`           // of the client's certificate, Unix seconds
	Limits    Limits   `cbor:"8,keyasint"`
	Proof     []byte   `cbor:"9,keyasint,omitempty"` // the server's end of the identification
	Features  []string `cbor:"10,keyasint,omitempty"`
}

// HelloBody is the client's first frame after Welcome. PROTOCOL §4.6.
type HelloBody struct {
	Limits   Limits   `cbor:"1,keyasint"`
	Features []string `cbor:"2,keyasint,omitempty"`
}

// DenyBody is the verdict of a daemon that refuses. PROTOCOL §4.5.
type DenyBody struct {
	Code             uint8  `cbor:"1,keyasint"` // Pyro's four, then ours
	Check            string `cbor:"2,keyasint"` // the check that failed
	Got              string `cbor:"3,keyasint,omitempty"`
	Want             string `cbor:"4,keyasint,omitempty"`
	Incident         string `cbor:"5,keyasint"`
	RetryAfterMillis uint32 `cbor:"6,keyasint,omitempty"`
}

// RetryAfter is the wait that the daemon asks for.
func (d DenyBody) RetryAfter() time.Duration {
	return time.Duration(d.RetryAfterMillis) * time.Millisecond
}

// Kind says what became of a call that failed. Numbers are only ever appended.
// PROTOCOL §5.4.
type Kind uint8

// Kinds of failure. None of those marked "not run" has reached the method.
const (
	KindApplication Kind = 1  // the method returned an error
	KindInternal    Kind = 2  // the method panicked, or its result cannot be carried
	KindDenied      Kind = 3  // not run: the caller may not
	KindNoObject    Kind = 4  // not run: no object of that name
	KindNoMethod    Kind = 5  // not run: the object exposes no such method
	KindArguments   Kind = 6  // not run: number or types of arguments
	KindCanceled    Kind = 7  // the caller gave up, or the method returned context.Canceled
	KindDeadline    Kind = 8  // the time was up
	KindDraining    Kind = 9  // not run: the daemon takes no new calls; another connection may
	KindTooLarge    Kind = 10 // not run, or the result exceeds the caller's limit
	KindRetry       Kind = 11 // not run: a repeated call of a method that is not idempotent
	KindBusy        Kind = 12 // not run: too many calls
)

// ErrorBody is why a call failed. PROTOCOL §5.3.
type ErrorBody struct {
	Kind     Kind   `cbor:"1,keyasint"`
	Message  string `cbor:"2,keyasint,omitempty"`
	Name     string `cbor:"3,keyasint,omitempty"` // of a registered error
	Data     []byte `cbor:"4,keyasint,omitempty"` // one CBOR item: that error's value
	Incident string `cbor:"5,keyasint,omitempty"`
}

// GoAwayBody ends a session, at once or after the calls in flight. PROTOCOL §6.3.
type GoAwayBody struct {
	Drain    bool   `cbor:"1,keyasint,omitempty"` // calls in flight finish, new ones are refused
	Reason   string `cbor:"2,keyasint"`
	Check    string `cbor:"3,keyasint,omitempty"`
	Incident string `cbor:"4,keyasint,omitempty"`
}

// AppendControl appends a whole frame with body as its payload.
func AppendControl(dst []byte, t Type, id uint32, body any) ([]byte, error) {
	at := len(dst)
	dst = AppendHeader(dst, Header{Type: t, ID: id})
	dst, err := codec.Append(dst, body)
	if err != nil {
		return dst[:at], err
	}
	n := len(dst) - at - HeaderSize
	if n > MaxPayload {
		return dst[:at], fmt.Errorf("wire: %v body of %d bytes, at most %d are allowed", t, n, MaxPayload)
	}
	PutHeader(dst[at:], Header{Length: n, Type: t, ID: id})
	return dst, nil
}

// ParseControl reads the payload of a control frame into body.
func ParseControl(t Type, payload []byte, body any) error {
	if err := codec.Unmarshal(payload, body); err != nil {
		return fmt.Errorf("wire: %v frame: %w", t, err)
	}
	return nil
}
