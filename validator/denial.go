package validator

import (
	"fmt"
	"strings"
	"time"
)

// Code is the reason for a refusal in Pyro's terms.
type Code uint8

// Pyro's four codes. Their numbers are on the wire.
const (
	DeniedUnspecified   Code = 0
	DeniedServerTooBusy Code = 1
	DeniedHostBlocked   Code = 2
	DeniedSecurity      Code = 3
)

// String gives Pyro's text for the code.
func (c Code) String() string {
	switch c {
	case DeniedUnspecified:
		return "unspecified reason"
	case DeniedServerTooBusy:
		return "server too busy"
	case DeniedHostBlocked:
		return "host blocked"
	case DeniedSecurity:
		return "security reasons"
	}
	return fmt.Sprintf("unknown reason %d", uint8(c))
}

// A Denial is why a connection was refused. To a peer whose chain is valid all of it
// is sent but Err; so Got and Want must hold nothing that is not for the peer.
type Denial struct {
	Code  Code
	Check Check
	// Got is what was found and Want what was expected, each part of a sentence.
	Got, Want string
	// RetryAfter is when another attempt may be worth it; zero when it says nothing.
	RetryAfter time.Duration
	// Err is the local cause. It is for the log of this side and never sent.
	Err error
}

// Error gives code, check, what was got and what wanted, but not Err: the text may
// be shown to the peer. It has no prefix, since whoever refuses a connection says so
// in front of it.
func (d *Denial) Error() string {
	var b strings.Builder
	b.WriteString(d.Code.String())
	if d.Check != "" {
		b.WriteString(": " + string(d.Check))
	}
	if d.Got != "" {
		b.WriteString(": " + d.Got)
	}
	if d.Want != "" {
		b.WriteString(", want " + d.Want)
	}
	return b.String()
}

// Unwrap returns the local cause.
func (d *Denial) Unwrap() error { return d.Err }
