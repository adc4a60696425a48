package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/validator"
)

// A daemon keeps its own list of the names of its objects, and enters it into the name
// server of its client: when it begins to serve, when the list changes, and again
// whenever the name server has lost something of it. All of them live by one lease, which
// it renews.

// InNames has an object registered under a name, such as bank.eu.accounts, in the name
// server of Config.Client, while the daemon serves it. Tags can be searched for.
func InNames(name string, tags ...string) RegisterOption { return inNames(name, false, tags) }

// InGroup is InNames for a name that several daemons serve: this one joins them.
func InGroup(name string, tags ...string) RegisterOption { return inNames(name, true, tags) }

func inNames(name string, group bool, tags []string) RegisterOption {
	return func(r *registration) error {
		text, err := naming.ParseName(name)
		if err != nil {
			return err
		}
		r.names = append(r.names, naming.Registration{Name: text, Tags: slices.Clone(tags), Group: group})
		return nil
	}
}

// announcer enters a daemon's names.
type announcer struct {
	daemon *Daemon
	id     string // of the lease; another one each time that a daemon starts
	proxy  *Proxy // of the name server; nil for none

	busy sync.Mutex // one conversation at a time
	left bool       // the daemon stops, and enters nothing any more; guarded by busy

	mu      sync.Mutex
	wanted  map[string]naming.Registration // by name
	entered map[string]bool
	errs    map[string]error // why a name is not entered
	change  chan struct{}    // has room for one
}

func (d *Daemon) newAnnouncer() (*announcer, error) {
	a := &announcer{
		daemon: d, id: strings.ToLower(rand.Text()), wanted: make(map[string]naming.Registration),
		entered: make(map[string]bool), errs: make(map[string]error), change: make(chan struct{}, 1),
	}
	if c := d.config.Client; c != nil && c.config.Names != "" {
		var err error
		if a.proxy, err = c.proxy(c.names, []ProxyOption{WithTimeout(5 * time.Second)}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// add takes an object's names into the list. Nothing is said to the name server yet.
func (a *announcer) add(u string, names []naming.Registration) error {
	if len(names) == 0 {
		return nil
	}
	if a.proxy == nil {
		return fmt.Errorf("broker: name %s: this daemon has no name server: set ClientConfig.Names of its Config.Client", names[0].Name)
	}
	identity, err := a.daemon.provable()
	if err != nil {
		return fmt.Errorf("broker: name %s: %w", names[0].Name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range names {
		if _, twice := a.wanted[r.Name]; twice {
			return fmt.Errorf("broker: name %s is another object's of this daemon", r.Name)
		}
	}
	for _, r := range names {
		r.URI, r.Identity, r.Daemon = u, identity, a.id
		a.wanted[r.Name] = r
	}
	a.poke()
	return nil
}

// drop takes an object's names off the list.
func (a *announcer) drop(names []naming.Registration) {
	a.mu.Lock()
	var gone []string
	for _, r := range names {
		delete(a.wanted, r.Name)
		if a.entered[r.Name] {
			gone = append(gone, r.Name)
		}
		delete(a.entered, r.Name)
		delete(a.errs, r.Name)
	}
	a.mu.Unlock()
	if a.daemon.ctx.Err() != nil {
		return // the lease is given up
	}
	for _, name := range gone {
		a.daemon.running.Add(1)
		go func() { // ends with the proxy's timeout at the latest
			defer a.daemon.running.Done()
			if err := a.proxy.Call(context.Background(), "Leave", nil, name, a.id); err != nil {
				a.daemon.log.Warn("a name could not be removed", "name", name, "error", err)
			}
		}()
	}
}

func (a *announcer) poke() {
	select {
	case a.change <- struct{}{}:
	default:
	}
}

// provable is the principal in the daemon's certificate by which clients that come by a
// name know it: the published host, if it is there, or else the first one.
func (d *Daemon) provable() (string, error) {
	all, err := validator.Principals(d.config.Certs.Current().Chain)
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("the daemon's certificate has no name that clients could know it by (%v)", err)
	}
	best := all[0]
	for _, p := range all {
		if p.Kind == validator.DNS && p.Value == d.host {
			best = p
		}
	}
	return string(best.Kind) + ":" + best.Value, nil
}

// Announce enters the names of InNames and InGroup into the name server, all that are not
// entered yet, and returns why some could not be. Serve does so by itself, and goes on
// trying; a program that wants to know calls Announce as well.
func (d *Daemon) Announce(ctx context.Context) error {
	a := d.announcer
	if a.proxy == nil {
		return errNoNames
	}
	if _, err := a.once(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []error
	for _, name := range slices.Sorted(maps.Keys(a.errs)) {
		all = append(all, a.errs[name])
	}
	return errors.Join(all...)
}

// run enters names and renews the lease until ctx ends.
func (a *announcer) run(ctx context.Context) {
	const again = 2 * time.Second
	for wait := time.Duration(0); ; {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-a.change:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return
		}
		ttl, err := a.once(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			a.daemon.log.Warn("names are not entered, which is tried again", "error", err, "in", again)
			wait = again
		default:
			wait = naming.RenewEvery(ttl)
		}
	}
}

// once renews the lease, and enters what the name server does not have.
func (a *announcer) once(ctx context.Context) (ttl time.Duration, err error) {
	a.busy.Lock()
	defer a.busy.Unlock()
	a.mu.Lock()
	some := len(a.wanted) > 0
	a.mu.Unlock()
	if !some || a.left {
		return time.Hour, nil // until something is added
	}
	var lease naming.Lease
	if err := a.proxy.Call(ctx, "Renew", &lease, a.id); err != nil {
		return 0, err
	}
	for _, r := range a.missing(lease.Names) {
		var made naming.Record
		err := a.proxy.Call(ctx, "Register", &made, r)
		var e *Error
		if errors.As(err, &e) && e.Kind != KindApplication && e.Kind != KindDenied && e.Kind != KindArguments {
			return 0, err // of the way there, and not of this name
		}
		a.settle(r, err)
	}
	return lease.TTL, nil
}

// missing are the registrations that the name server does not have: all, if it has not
// as many as it was given.
func (a *announcer) missing(has int) (all []naming.Registration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if has != len(a.entered) {
		clear(a.entered)
	}
	for _, name := range slices.Sorted(maps.Keys(a.wanted)) {
		if !a.entered[name] {
			all = append(all, a.wanted[name])
		}
	}
	return all
}

// settle notes how a registration went, and logs it when that is news.
func (a *announcer) settle(r naming.Registration, err error) {
	a.mu.Lock()
	if _, still := a.wanted[r.Name]; !still {
		a.mu.Unlock()
		return
	}
	before := a.errs[r.Name]
	if err == nil {
		a.entered[r.Name] = true
		delete(a.errs, r.Name)
	} else {
		a.errs[r.Name] = fmt.Errorf("broker: name %s: %w", r.Name, err)
	}
	a.mu.Unlock()
	switch {
	case err == nil:
		a.daemon.log.Info("name entered", "name", r.Name, "uri", r.URI)
	case before == nil || before.Error() != err.Error():
		a.daemon.log.Warn("name not entered", "name", r.Name, "error", err)
	}
}

// leave gives the lease up, so that nobody comes by the names any more.
func (a *announcer) leave(ctx context.Context) {
	a.busy.Lock()
	defer a.busy.Unlock()
	a.left = true
	a.mu.Lock()
	entered := len(a.entered) > 0
	clear(a.entered)
	a.mu.Unlock()
	if !entered {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := a.proxy.Call(ctx, "Release", nil, a.id); err != nil {
		a.daemon.log.Warn("the lease of this daemon's names ends by itself", "error", err)
	}
}
