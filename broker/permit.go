package broker

import (
	"context"
	"errors"

	"github.com/pyrossl/pyrossl/validator"
)

// Permit asks the daemon's authorizer whether the caller, in the call that ctx belongs
// to, may do something finer than call a method, such as register a name: object and
// method stand in rules like those of calls. What it returns is for the method to return:
// a denial with its incident, as if the call itself had been refused.
func Permit(ctx context.Context, object, method string) error {
	c := calleeOf(ctx)
	if c == nil {
		return errors.New("broker: Permit needs the context of a call")
	}
	authorizer, _ := c.host.authorizer()
	if authorizer == nil {
		return nil // a client's own objects are for the daemon that was given them
	}
	if d := c.ask(ctx, authorizer, object, method, validator.KindCall); !d.Allowed {
		return &refusal{c.denied(ctx, object, method, d)}
	}
	return nil
}
