package explain

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/codec"
)

// noArguments is the break of an indefinite-length item, with nothing to end: no CBOR
// decoder takes it for an argument, so that no method runs with it.
const noArguments = 0xff

// policy tells whether we may call the method.
func (d *diagnosis) policy(s *Step) {
	method := d.options.Method
	if method == "" {
		s.skip("no method was given: broker explain URI METHOD asks whether you may call it")
		return
	}
	call := d.uri.Object + "." + method
	err := d.ask(method)
	e, ok := errors.AsType[*broker.Error](err)
	if !ok || e.Err != nil { // it has not come to the daemon, or no answer back
		s.fail(fmt.Sprintf("no decision about %s: %s", call, strings.TrimPrefix(fmt.Sprint(err), "broker: ")), "a decision")
		s.fix(Client, "try again, and check the method")
		return
	}
	s.Incident = e.Incident
	switch e.Kind {
	case broker.KindArguments:
		s.ok(fmt.Sprintf("%s may call %s", d.welcome.Name, call))
	case broker.KindDenied:
		s.denied = true
		s.fail(e.Message, "a rule that allows it")
		if e.Message == "" {
			s.Got = fmt.Sprintf("no rule lets %s call %s", d.welcome.Name, call)
		}
		s.fix(Server, fmt.Sprintf("add a rule that allows %s to call %s: --policy FILE", d.welcome.Name, call))
		s.fix(Client, "use the certificate of somebody who may")
	case broker.KindNoObject:
		s.fail(fmt.Sprintf("the daemon has no object %s", d.uri.Object), "one of its objects")
		s.suggest(d.uri.Object, d.objects())
		s.fix(Client, "correct the object in the URI")
		s.fix(Server, "register the object")
	case broker.KindNoMethod:
		s.fail(fmt.Sprintf("%s exposes no method %s", d.uri.Object, method), "one of its methods, spelled as the object does")
		s.suggest(method, d.methods())
		s.fix(Client, "correct the method")
	default:
		s.fail(fmt.Sprintf("no decision about %s: %s", call, strings.TrimPrefix(e.Error(), "broker: ")), "a decision")
		s.fix(Server, "see the daemon's log")
	}
}

// ask has the daemon decide about a call. There is no question for that which every
// caller may ask, so it is a call that cannot run, for two reasons: it wants a stream,
// which is refused where the method yields none, before an instance is made or an
// interceptor called; and its arguments are none. Both are found only after the daemon
// has decided that the call is allowed: then the answer is broker.KindArguments.
func (d *diagnosis) ask(method string) (err error) {
	p, err := d.proxy(d.uri.Object)
	if err != nil {
		return err
	}
	ctx, cancel := d.bounded()
	defer cancel()
	request := func() *broker.Request {
		r := p.Request(method)
		r.Args = append(r.Args, noArguments)
		return r
	}
	for _, err = range broker.ReceiveStream(ctx, request, func(*codec.Decoder) struct{} { return struct{}{} }) {
		break
	}
	return err
}

// suggest lists what there is, and what may be meant.
func (s *Step) suggest(text string, known []string) {
	if len(known) == 0 {
		return
	}
	for _, k := range known {
		if k != text && strings.EqualFold(k, text) || near(text, k) {
			s.fact(fmt.Sprintf("did you mean %s?", k))
		}
	}
	s.fact("there are: " + strings.Join(known, ", "))
}

// near reports whether one of the two is a misspelling of the other: letters that are
// wrong, missing or too many, two of them in a short word.
func near(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b || len(a) > 255 || len(b) > 255 {
		return false
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)] <= 1+max(len(a), len(b))/4
}

// objects are those of the daemon, if its rules let us list them.
func (d *diagnosis) objects() (names []string) {
	d.callSelf("Registered", &names)
	return names
}

// methods are those of the object, if the daemon's rules let us list them.
func (d *diagnosis) methods() (names []string) {
	var all []broker.MethodInfo
	d.callSelf("Methods", &all, d.uri.Object)
	for _, m := range all {
		names = append(names, m.Name)
	}
	return names
}

// callSelf calls the daemon's own object.
func (d *diagnosis) callSelf(method string, result any, args ...any) error {
	p, err := d.proxy(broker.SelfName)
	if err != nil {
		return err
	}
	ctx, cancel := d.bounded()
	defer cancel()
	return p.Call(ctx, method, result, args...)
}

// late is how many days before the end of its certificate a daemon is worth a warning:
// one that renews a certificate of a day has done so many hours before.
const late = 1.0 / 24

// daemon looks at the daemon's own status.
func (d *diagnosis) daemon(s *Step) {
	var status broker.Status
	if err := d.callSelf("Status", &status); err != nil {
		if errors.Is(err, broker.KindDenied) {
			s.skip("its rules do not let us call " + broker.SelfName + ".Status")
			return
		}
		s.warn("no status: " + strings.TrimPrefix(err.Error(), "broker: "))
		s.fix(Server, "see the daemon's log")
		return
	}
	c := &status.Certificate
	s.ok(fmt.Sprintf("%d connections, %d of %d calls denied; certificate until %s", status.Connections, status.CallsDenied, status.Calls, moment(c.NotAfter)))
	trouble := func(fix, format string, args ...any) {
		s.State = Warn
		s.fact(fmt.Sprintf(format, args...))
		s.fix(Server, fix)
	}
	if status.Draining {
		trouble("wait until it is back", "it is shutting down, and takes no new calls")
	}
	if c.LastError != "" {
		trouble("mend the files that it reads", "its last reload failed: %s", c.LastError)
	}
	if c.OwnRevoked != "" {
		trouble("give it a new certificate with a new key", "by its own lists its certificate is revoked: %s", c.OwnRevoked)
	}
	if c.DaysLeft < late {
		trouble("renew it: mkcerts renew", "its certificate ends in less than an hour")
	}
	for _, l := range c.Lists {
		s.fact(l.String())
		if l.Stale && !l.Superseded {
			trouble("put the newest list in its place", "a list of its is stale: whoever is not on it is refused as if revoked")
		}
	}
}
