package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// cause is one reason for which somebody is refused.
type cause struct {
	name string
	// check, code and got are what the one who is refused is told, got in part. A call
	// that is refused has a kind instead of check and code.
	check validator.Check
	code  validator.Code
	kind  broker.Kind
	got   string
	// daemon is the check in the daemon's line, where it cannot be the same: the other
	// side has found the fault, or the alert has no number for it.
	daemon validator.Check
	// wordless causes are told by a TLS alert, or found by the client itself: the client
	// has no incident id then, and the daemon's line is found by the client's address.
	wordless bool
	// slow causes take the time of a handshake, and are tried less often.
	slow bool
	// prepare makes the world and returns what is refused in it, again and again.
	prepare func(s *scene) func(a *attempt) error
}

// scene is where a cause is tried.
type scene struct {
	*testing.T
	ca    *pki
	other *pki
	good  testca.Pair // a client whom every scene accepts, at the end
	w     *world
	// relent lets the good client in, where the scene refuses everybody.
	relent func()
}

// open makes the scene's world.
func (s *scene) open(change func(*broker.Config)) {
	s.w = newWorld(s.T, s.ca, func(c *broker.Config) {
		c.MaxHandshakesPerAddress = 256
		if change != nil {
			change(c)
		}
	})
}

// admitting opens a world with the validator.
func (s *scene) admitting(v validator.Config) {
	if v.MaxConnections == 0 {
		v.MaxConnections = 1000
	}
	s.open(func(c *broker.Config) { c.Validator = admit(s.T, v) })
}

// attempt is one of many to be refused.
type attempt struct {
	s     *scene
	local string // its address, as the daemon sees it
}

func (a *attempt) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		a.local = c.LocalAddr().String()
	}
	return c, err
}

// call makes a client of the pair, and one call.
func (a *attempt) call(p testca.Pair, method string, change func(*broker.ClientConfig)) error {
	return a.callAt(p, a.s.w.uri("target"), method, change)
}

func (a *attempt) callAt(p testca.Pair, uri, method string, change func(*broker.ClientConfig)) error {
	c := broker.ClientConfig{Certs: certs.Static(material(a.s, p, a.s.w.roots...)), Dial: a.dial, Logger: quiet}
	if change != nil {
		change(&c)
	}
	client, err := broker.NewClient(c)
	if err != nil {
		return err
	}
	defer client.Close()
	proxy, err := client.Proxy(a.s.Context(), uri)
	if err != nil {
		return err
	}
	return proxy.Call(a.s.Context(), method, nil, 1)
}

// raw connects with settings that no client of ours has, answers a challenge with frames,
// and explains the outcome as a client of ours would: by package certs.
func (a *attempt) raw(p testca.Pair, config *tls.Config, frames ...[]byte) error {
	tcp, err := a.dial(a.s.Context(), "tcp", a.s.w.daemon.Addr().String())
	if err != nil {
		return err
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(patience))
	c := &raw{tls.Client(tcp, config), a.s}
	if err = c.Handshake(); err == nil {
		err = c.verdict(frames)
	}
	var denied *broker.ConnectionDeniedError
	if err == nil || errors.As(err, &denied) {
		return err
	}
	var ours *certs.Material
	if p.Key != nil {
		ours = material(a.s, p, a.s.w.roots...)
	}
	if d := certs.Refusal(err, ours, certs.Expect{Host: "localhost"}); d != nil {
		return &broker.ConnectionDeniedError{Code: d.Code, Check: d.Check, Got: d.Got, Want: d.Want, Err: err}
	}
	return err
}

// verdict answers a challenge with frames, and returns the refusal.
func (c *raw) verdict(frames [][]byte) error {
	h, p, err := c.next()
	if err == nil && h.Type == wire.Challenge {
		for _, f := range frames {
			c.send(f)
		}
		h, p, err = c.next()
	}
	if err != nil {
		return err
	}
	var body wire.DenyBody
	if h.Type != wire.Deny {
		return errors.New("want deny, got " + h.Type.String())
	}
	if err := wire.ParseControl(h.Type, p, &body); err != nil {
		return err
	}
	return &broker.ConnectionDeniedError{Code: validator.Code(body.Code), Check: validator.Check(body.Check), Got: body.Got, Want: body.Want, Incident: body.Incident}
}

// told is what a refused client knows.
type told struct {
	check          validator.Check
	code           validator.Code
	kind           broker.Kind
	text, incident string
}

func toldBy(err error) (t told, ok bool) {
	printed.error(err)
	var denied *broker.ConnectionDeniedError
	var failed *broker.Error
	switch {
	case errors.As(err, &denied):
		return told{check: denied.Check, code: denied.Code, text: denied.Got + ", want " + denied.Want, incident: denied.Incident}, true
	case errors.As(err, &failed):
		return told{kind: failed.Kind, text: failed.Message, incident: failed.Incident}, true
	}
	return t, false
}

// TestCauses: whoever is refused learns the cause each time, and the daemon has one line
// and one incident for each refusal, under the id that was told.
func TestCauses(t *testing.T) {
	ca, other := newPKI(t, "ours"), newPKI(t, "another")
	good := ca.Client(t, "good@bank.example")
	all := causes(t, ca, other)
	runs := scaled(5, 200)
	t.Logf("%d causes, %d times each", len(all), runs)
	if len(all) < 30 {
		t.Error("want 30 causes at least")
	}
	for _, c := range all {
		runs := runs
		if c.slow {
			runs = (runs + 3) / 4
		}
		t.Run(c.name, func(t *testing.T) { c.test(&scene{T: t, ca: ca, other: other, good: good}, runs) })
	}
}

// TestEveryCheckHasACause: what is in the catalogue of checks is tried.
func TestEveryCheckHasACause(t *testing.T) {
	ca, other := newPKI(t, "ours"), newPKI(t, "another")
	tried := make(map[validator.Check]bool)
	names := make(map[string]bool)
	for _, c := range causes(t, ca, other) {
		tried[c.check] = true
		if names[c.name] {
			t.Errorf("two causes are called %q", c.name)
		}
		names[c.name] = true
		if c.check != "" && !slices.Contains(validator.Checks(), c.check) {
			t.Errorf("%s: check %s is not in the catalogue", c.name, c.check)
		}
	}
	for _, check := range validator.Checks() {
		if !tried[check] {
			t.Errorf("no cause is tried for check %s: %s", check, check.Text())
		}
	}
}

func (c *cause) test(s *scene, runs int) {
	try := c.prepare(s)
	before := len(s.w.log.refusals())
	var mu sync.Mutex
	var addresses []string
	incidents := make(map[string]bool)
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for range next {
				a := &attempt{s: s}
				err := try(a)
				got, ok := toldBy(err)
				if !ok || got.check != c.check || got.code != c.code || got.kind != c.kind || !strings.Contains(got.text, c.got) || (got.incident == "") != c.wordless {
					s.Errorf("told %v (%+v), want %q", err, got, c.got)
				}
				mu.Lock()
				addresses = append(addresses, a.local)
				if incidents[got.incident] && got.incident != "" {
					s.Errorf("incident %s for two refusals", got.incident)
				}
				incidents[got.incident] = true
				mu.Unlock()
			}
		})
	}
	for i := range runs {
		next <- i
	}
	close(next)
	wg.Wait()
	c.testDaemon(s, before, runs, incidents, addresses)
	c.reopen(s)
}

// testDaemon looks for the daemon's side of refusals.
func (c *cause) testDaemon(s *scene, before, runs int, incidents map[string]bool, addresses []string) {
	var lines []line
	eventually(s, "the daemon has a line for each refusal", func() bool { lines = s.w.log.refusals()[before:]; return len(lines) >= runs })
	if len(lines) != runs {
		s.Errorf("%d lines for %d refusals: %v", len(lines), runs, lines)
	}
	check := c.check
	if c.daemon != "" {
		check = c.daemon
	}
	kept := make(map[string]broker.Incident)
	for _, i := range s.w.incidents(before + runs) {
		kept[i.ID] = i
	}
	from := make(map[string]int)
	for _, l := range lines {
		id := l.attrs["incident"]
		from[l.attrs["address"]]++
		if l.attrs["check"] != string(check) {
			s.Errorf("line %v, want check %s", l, check)
		}
		if !c.wordless && !incidents[id] {
			s.Errorf("line %v: its incident was told to nobody", l)
		}
		if i, ok := kept[id]; !ok || i.Check != string(check) || i.Got != l.attrs["got"] && c.kind == 0 {
			s.Errorf("incident %q in the file: %+v, want that of %v", id, i, l)
		}
		delete(incidents, id)
	}
	delete(incidents, "")
	if len(incidents) != 0 {
		s.Errorf("no line has incidents %v", incidents)
	}
	for _, a := range addresses {
		if c.wordless && from[a] != 1 {
			s.Errorf("%d lines about %s, want 1", from[a], a)
		}
	}
}

// reopen has a good client be served, by the same daemon unless that refuses everybody.
func (c *cause) reopen(s *scene) {
	if s.relent != nil {
		s.relent()
	}
	s.w.alive(s.good)
	eventually(s, "no handshake and no call is left", func() bool { return s.w.metric("handshakes") == "0" && s.w.metric("calls_in_flight") == "0" })
}

// pauseless is a validator whose check of certificates takes too long for all but one.
type pauseless struct{ *validator.Default }

func (v pauseless) CheckCertificate(ctx context.Context, id validator.Identity, _ *x509.Certificate) error {
	if id.Name != "email:good@bank.example" {
		<-ctx.Done()
	}
	return nil
}

// moody is a validator with an opinion of its own.
type moody struct {
	*validator.Default
	opinion func() error
}

func (v moody) CheckCertificate(_ context.Context, id validator.Identity, _ *x509.Certificate) error {
	if id.Name != "email:good@bank.example" {
		return v.opinion()
	}
	return nil
}
