package validator

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"unicode"
)

// maxRunning bounds the calls of a custom validator that have not returned. A
// goroutine cannot be ended from outside, so those that hang count against this, and
// beyond it connections are refused as the server being too busy.
const maxRunning = 1024

// maxDenialText bounds what a custom validator may tell a peer, in bytes.
const maxDenialText = 500

// refusedText is all that the peer learns of an error that is no Denial.
const refusedText = "a validator that refused"

// own runs a check of the Default. It keeps to ctx by itself.
func (s Steps) own(ctx context.Context, check Check, step func(*Default) error) *Denial {
	if s.base == nil {
		return noValidator(check)
	}
	return s.guard(ctx, check, func() error { return step(s.base) })
}

// override runs a check of a validator that is more than the Default.
func (s Steps) override(ctx context.Context, check Check, step func() error) *Denial {
	if !s.custom {
		return nil
	}
	return s.contain(ctx, check, step)
}

// contain runs step until ctx ends, in a goroutine if it may be someone else's code.
// That goroutine ends when step returns.
func (s Steps) contain(ctx context.Context, check Check, step func() error) *Denial {
	if s.base == nil {
		return noValidator(check)
	}
	if d := timedOut(ctx, check); d != nil {
		return d
	}
	if !s.custom {
		return s.guard(ctx, check, step)
	}
	if s.base.running.Add(1) > maxRunning {
		s.base.running.Add(-1)
		return &Denial{Code: DeniedServerTooBusy, Check: check, Got: "too many checks under way", RetryAfter: busyRetry}
	}
	done := make(chan *Denial, 1)
	go func() {
		// Holds too when step ends its goroutine by runtime.Goexit.
		d := &Denial{Code: DeniedSecurity, Check: check, Got: "a validator that failed", Err: errors.New("validator: a step ended its goroutine")}
		defer func() {
			s.base.running.Add(-1)
			done <- d
		}()
		d = s.guard(ctx, check, step)
	}()
	select {
	case d := <-done:
		return d
	case <-ctx.Done():
		return timedOut(ctx, check)
	}
}

// guard runs step and makes a Denial of whatever goes wrong in it.
func (s Steps) guard(ctx context.Context, check Check, step func() error) (d *Denial) {
	defer func() {
		if p := recover(); p != nil {
			s.base.log().ErrorContext(ctx, "validator panicked", "check", string(check), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			d = &Denial{Code: DeniedSecurity, Check: check, Got: "a validator that failed", Err: failf("", "panic in check %q: %v", check, p)}
		}
	}()
	if err := step(); err != nil {
		return denialOf(ctx, check, err)
	}
	return nil
}

// denialOf makes a Denial of an error. Only a Denial or an error of ours speaks to
// the peer.
func denialOf(ctx context.Context, check Check, err error) *Denial {
	if denial, ok := errors.AsType[*Denial](err); ok && denial != nil {
		d := *denial
		if d.Code > DeniedSecurity {
			d.Code = DeniedUnspecified
		}
		if d.Check == "" {
			d.Check = check
		}
		d.Got, d.Want = presentable(d.Got), presentable(d.Want)
		d.RetryAfter = max(d.RetryAfter, 0)
		if d.Err == nil && error(denial) != err {
			d.Err = err
		}
		return &d
	}
	if d := timedOut(ctx, check); d != nil {
		d.Err = err
		return d
	}
	var f *failure
	if check == CheckIdentity && errors.As(err, &f) {
		return &Denial{Code: DeniedSecurity, Check: check, Got: f.got, Want: f.want, Err: err}
	}
	return &Denial{Code: DeniedUnspecified, Check: check, Got: refusedText, Err: err}
}

func timedOut(ctx context.Context, check Check) *Denial {
	if ctx.Err() == nil {
		return nil
	}
	return &Denial{Code: DeniedUnspecified, Check: CheckTimeout, Got: fmt.Sprintf("no outcome of check %q in time", check), Err: ctx.Err()}
}

func noValidator(check Check) *Denial {
	return &Denial{Code: DeniedSecurity, Check: check, Got: "no validator"}
}

// presentable makes a text fit for a peer's terminal and log.
func presentable(s string) string {
	if len(s) > maxDenialText {
		s = s[:maxDenialText] + "..."
	}
	for _, r := range s {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}
