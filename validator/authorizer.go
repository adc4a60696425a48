package validator

import "context"

// CallKind is how an object is used.
type CallKind uint8

// The kinds of calls. Numbers are only ever added.
const (
	KindCall   CallKind = 1 // with a reply
	KindOneway CallKind = 2 // without one
)

// String gives the kind in a word.
func (k CallKind) String() string {
	switch k {
	case KindCall:
		return "call"
	case KindOneway:
		return "oneway"
	}
	return "unknown"
}

// A Request is one call, before it is made. Object and Method are the caller's words:
// there need not be such an object.
type Request struct {
	Identity *Identity // from the verified connection; not to be changed
	Object   string
	Method   string
	Kind     CallKind
}

// A Decision says whether a call may be made, and why. The zero Decision denies.
type Decision struct {
	Allowed bool
	// Rule is the name of the rule that decided, for this side's log; "default" when
	// there was none.
	Rule string
	// Reason tells the caller why it was denied.
	Reason string
}

// An Authorizer is asked before every call. It must be safe for concurrent use.
type Authorizer interface {
	Authorize(ctx context.Context, r Request) Decision
}

// Versioned is an Authorizer whose decisions depend on nothing but the identity,
// object, method and kind, and may be kept until Version returns something else. A
// decision that Authorize makes after Version has returned n must be at least as
// new as n.
type Versioned interface {
	Version() uint64
}
