package explain

import (
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// State is how a step went.
type State string

const (
	OK      State = "ok"
	Warn    State = "warn"    // it goes, and something should be looked at
	Fail    State = "fail"    // it does not go
	Skipped State = "skipped" // it could not be looked at, or was not asked for
)

// Side is who has to change something.
type Side string

const (
	Client    Side = "client"    // whoever runs this: its files, its URI, its clock
	Server    Side = "server"    // the daemon's operator
	Network   Side = "network"   // whatever lies between
	Authority Side = "authority" // who issues certificates
)

// Fix is what one side can do.
type Fix struct {
	Who  Side   `json:"who"`
	What string `json:"what"`
}

// Step is one thing that was looked at.
type Step struct {
	Name  string `json:"step"`
	State State  `json:"state"`
	// Got is what was seen. Of a step that was skipped it is the reason.
	Got string `json:"got,omitempty"`
	// Want is what would have been good.
	Want string `json:"want,omitempty"`
	// Fixes are alternatives, the most likely one first.
	Fixes []Fix `json:"fixes,omitempty"`
	// Facts are details, one a line.
	Facts []string `json:"facts,omitempty"`
	// Check is the one that refused, Code its code as text, and Incident what the daemon
	// noted it under.
	Check    validator.Check `json:"check,omitempty"`
	Code     string          `json:"code,omitempty"`
	Incident string          `json:"incident,omitempty"`

	denied  bool     // a certificate or call was refused, by either side
	lacking []string // the failed steps for which it was skipped; none if there was nothing to see
}

// Outcome is what a report comes to.
type Outcome string

const (
	AllWell Outcome = "ok"
	Misused Outcome = "misused" // the URI cannot be used
	Failed  Outcome = "failed"  // there is no connection, and nobody refused one
	Denied  Outcome = "denied"  // one side does not accept the other's certificate, or the daemon refused
)

// Report is what was found out.
type Report struct {
	URI     string    `json:"uri"`
	Method  string    `json:"method,omitempty"`
	Time    time.Time `json:"time"` // by the clock of this machine
	Outcome Outcome   `json:"outcome"`
	Steps   []Step    `json:"steps"`
}

// Step returns the step with this name, or nil.
func (r *Report) Step(name string) *Step {
	for i := range r.Steps {
		if r.Steps[i].Name == name {
			return &r.Steps[i]
		}
	}
	return nil
}

// Failure returns the first step that failed, or nil.
func (r *Report) Failure() *Step {
	for i := range r.Steps {
		if r.Steps[i].State == Fail {
			return &r.Steps[i]
		}
	}
	return nil
}

func (r *Report) outcome() Outcome {
	s := r.Failure()
	switch {
	case s == nil:
		return AllWell
	case s.Name == stepURI:
		return Misused
	case s.denied:
		return Denied
	}
	return Failed
}

// ok, warn, fail and skip set the state of a step and what was seen.
func (s *Step) ok(got string)   { s.State, s.Got = OK, got }
func (s *Step) warn(got string) { s.State, s.Got = Warn, got }
func (s *Step) skip(got string) { s.State, s.Got = Skipped, got }

// lacks skips a step because of others that did not go well.
func (s *Step) lacks(others ...string) {
	s.skip("needs " + strings.Join(others, ", "))
	s.lacking = others
}

func (s *Step) fail(got, want string) {
	s.State, s.Got, s.Want = Fail, got, want
}

// refuse is fail with a denial.
func (s *Step) refuse(d *validator.Denial) {
	s.fail(d.Got, d.Want)
	s.Check, s.Code, s.denied = d.Check, d.Code.String(), d.Code != validator.DeniedUnspecified
}

func (s *Step) fix(who Side, what string) { s.Fixes = append(s.Fixes, Fix{who, what}) }

func (s *Step) fact(text string) {
	if text != "" {
		s.Facts = append(s.Facts, text)
	}
}
