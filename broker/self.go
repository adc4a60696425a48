package broker

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/certs"
)

// SelfName is the object that every daemon exports about itself, Pyro's own
// name for it. It is an object like any other: only whom the authorizer lets
// call it sees anything.
const SelfName = "Pyro.Daemon"

// Self is the object named SelfName.
type Self struct{ daemon *Daemon }

type selfMethods interface {
	Ping()
	Info() Info
	Registered() []string
	Methods(object string) ([]MethodInfo, error)
	Status() Status
	Who() []LiveConnection
	Incident(id string) (Incident, error)
	Incidents(most int) []Incident
	Metrics() (string, error)
	WouldCut(ctx context.Context, change Change) ([]Cut, error)
}

// selfNames are the methods, all of which only look.
func selfNames() (names []string) {
	t := reflect.TypeFor[selfMethods]()
	for i := range t.NumMethod() {
		names = append(names, t.Method(i).Name)
	}
	return names
}

// Info is what a daemon says of itself.
type Info struct {
	Protocol string    `json:"protocol"`
	Version  string    `json:"version"`
	Publish  string    `json:"publish"` // host:port of its URIs
	Started  time.Time `json:"started"`
	Objects  int       `json:"objects"`
}

// MethodInfo is one method that an object exposes.
type MethodInfo struct {
	Name       string `json:"name"`
	Signature  string `json:"signature"`
	Idempotent bool   `json:"idempotent"`
}

// Status is the daemon's own view of itself.
type Status struct {
	Info        Info              `json:"info"`
	Connections int               `json:"connections"`
	Accepted    uint64            `json:"accepted"` // connections, since the start
	Denied      uint64            `json:"denied"`   // connections, since the start
	Calls       uint64            `json:"calls"`
	CallsDenied uint64            `json:"calls_denied"`
	Draining    bool              `json:"draining"`
	Certificate CertificateStatus `json:"certificate"`
}

// CertificateStatus is what the daemon's certificate source reports.
type CertificateStatus struct {
	NotAfter   time.Time `json:"not_after"`
	DaysLeft   float64   `json:"days_left"`
	Generation uint64    `json:"generation"` // grows with each reload that succeeded
	Loaded     time.Time `json:"loaded"`
	LastError  string    `json:"last_error,omitempty"` // of the last reload, if it failed
	// Lists are the revocation lists and the deny list that peers are checked against,
	// StaleListsPass is whether stale ones refuse nobody, and OwnRevoked is why others
	// with the same lists would refuse the daemon's own certificate.
	Lists          []certs.ListStatus `json:"lists,omitempty"`
	StaleListsPass bool               `json:"stale_lists_pass,omitempty"`
	OwnRevoked     string             `json:"own_revoked,omitempty"`
}

// Ping does nothing: it answers.
func (s *Self) Ping() {}

// Info describes the daemon.
func (s *Self) Info() Info {
	d := s.daemon
	d.mu.Lock()
	started := d.started
	d.mu.Unlock()
	return Info{
		Protocol: "pyrossl/1", Version: moduleVersion(), Publish: d.uri(SelfName).Address(),
		Started: started.UTC(), Objects: len(*d.objects.Load()),
	}
}

// Registered lists the names of all objects.
func (s *Self) Registered() []string {
	objects := *s.daemon.objects.Load()
	names := make([]string, 0, len(objects))
	for n := range objects {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Methods lists what an object exposes.
func (s *Self) Methods(object string) ([]MethodInfo, error) {
	o := (*s.daemon.objects.Load())[object]
	if o == nil {
		return nil, fmt.Errorf("no object %q here", object)
	}
	list := make([]MethodInfo, 0, len(o.table.methods))
	for _, m := range o.table.methods {
		list = append(list, MethodInfo{Name: m.name, Signature: m.signature, Idempotent: m.idempotent})
	}
	slices.SortFunc(list, func(a, b MethodInfo) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Status shows connections, calls, the certificate and the lists.
func (s *Self) Status() Status {
	d := s.daemon
	d.mu.Lock()
	connections, draining := len(d.open), d.draining
	d.mu.Unlock()
	src := d.config.Certs.Status()
	return Status{
		Info: s.Info(), Connections: connections, Draining: draining,
		Accepted: d.counters.accepted.Load(), Denied: d.counters.denied.Load(),
		Calls: d.counters.calls.Load(), CallsDenied: d.counters.callsDenied.Load(),
		Certificate: CertificateStatus{
			NotAfter: src.NotAfter.UTC(), DaysLeft: time.Until(src.NotAfter).Hours() / 24,
			Generation: src.Generation, Loaded: src.Loaded.UTC(), LastError: src.LastError,
			Lists: src.Lists, StaleListsPass: src.StaleListsPass, OwnRevoked: src.OwnRevoked,
		},
	}
}

// Who lists the open connections.
func (s *Self) Who() []LiveConnection { return s.daemon.who() }

// Incident returns what the daemon has kept of an incident, by the id that the peer was
// told.
func (s *Self) Incident(id string) (Incident, error) {
	if i, ok := s.daemon.record.find(id); ok {
		return i, nil
	}
	return Incident{}, fmt.Errorf("no incident %q is kept here; the daemon's log may have it", id)
}

// Incidents returns the latest incidents, the last one first.
func (s *Self) Incidents(most int) []Incident { return s.daemon.record.last(min(most, 500)) }

// Metrics returns the daemon's figures in the Prometheus text format.
func (s *Self) Metrics() (string, error) {
	var b strings.Builder
	err := s.daemon.WriteMetrics(&b)
	return b.String(), err
}

// moduleVersion is the version that was built in, "devel" for a checkout.
func moduleVersion() string {
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "devel"
}
