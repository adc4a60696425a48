package explain

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Options say what is to be explained, and with which certificate.
type Options struct {
	// URI of the object, PYROSSL:// or PYROLOCSSL://. Without an object it is that of
	// the daemon.
	URI string
	// Method of the object that is to be called, empty to look at the connection only.
	Method string
	// Cert, Key and CA are the files that a client would use.
	Cert, Key, CA string
	// CRLs and DenyList are files with the lists that servers are checked against; both
	// may be empty.
	CRLs     []string
	DenyList string
	// Identification is the second factor, nil for none.
	Identification any
	// Timeout bounds each step that waits for somebody else, 5 s when 0. The context
	// bounds all of them together.
	Timeout time.Duration
	// Resolver looks the host up; net.DefaultResolver when nil.
	Resolver validator.Resolver
	// Dial connects to an address; a net.Dialer when nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// DefaultTimeout is what Options.Timeout means when it is 0.
const DefaultTimeout = 5 * time.Second

// The names of the steps.
const (
	stepURI            = "uri"
	stepCertificate    = "certificate"
	stepLists          = "lists"
	stepDNS            = "dns"
	stepTCP            = "tcp"
	stepProtocol       = "protocol"
	stepALPN           = "alpn"
	stepChain          = "chain"
	stepDates          = "dates"
	stepPurpose        = "purpose"
	stepRevocation     = "revocation"
	stepName           = "name"
	stepPin            = "pin"
	stepVerdict        = "verdict"
	stepIdentity       = "identity"
	stepIdentification = "identification"
	stepPolicy         = "policy"
	stepDaemon         = "daemon"
)

// order is that of the steps, each with those that must have gone well before it.
var order = []struct {
	name  string
	needs []string
	look  func(*diagnosis, *Step)
}{
	{stepURI, nil, (*diagnosis).readURI},
	{stepCertificate, nil, (*diagnosis).ownCertificate},
	{stepLists, nil, (*diagnosis).ownLists},
	{stepDNS, []string{stepURI}, (*diagnosis).lookUp},
	{stepTCP, []string{stepDNS}, (*diagnosis).connectTCP},
	{stepProtocol, []string{stepTCP}, (*diagnosis).lookAtServer},
	{stepALPN, []string{stepProtocol}, (*diagnosis).compareProtocol},
	{stepChain, []string{stepALPN}, (*diagnosis).serverChain},
	{stepDates, []string{stepALPN}, (*diagnosis).serverDates},
	{stepPurpose, []string{stepALPN}, (*diagnosis).serverPurpose},
	{stepRevocation, []string{stepChain}, (*diagnosis).serverRevocation},
	{stepName, []string{stepALPN}, (*diagnosis).serverName},
	{stepVerdict, []string{stepCertificate, stepLists, stepChain, stepDates, stepPurpose, stepRevocation, stepName, stepPin}, (*diagnosis).verdict},
	{stepIdentity, []string{stepVerdict}, (*diagnosis).identity},
	{stepIdentification, []string{stepVerdict}, (*diagnosis).identification},
	{stepPolicy, []string{stepVerdict}, (*diagnosis).policy},
	{stepDaemon, []string{stepVerdict}, (*diagnosis).daemon},
}

// diagnosis is one run, with what its steps have found for later ones.
type diagnosis struct {
	ctx     context.Context
	options Options
	report  *Report

	uri       uri.URI
	material  *certs.Material // nil if it cannot be used
	source    certs.Source
	addresses []string // host:port, of what listens: with the host's address
	answers   []*answer
	findings  map[validator.Check]*certs.Finding
	client    *broker.Client
	asked     *asked
	welcome   broker.Connection
	ended     []func()
}

// Run makes a diagnosis. It returns when all steps are done, or ctx is.
func Run(ctx context.Context, o Options) *Report {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	d := &diagnosis{ctx: ctx, options: o, report: &Report{URI: clean(o.URI), Method: clean(o.Method), Time: time.Now().UTC().Truncate(time.Second)}}
	defer d.end()
	for _, s := range order {
		step := Step{Name: s.name}
		if missing := d.missing(s.needs); len(missing) > 0 {
			step.lacks(missing...)
		} else {
			s.look(d, &step)
		}
		step.clean()
		d.report.Steps = append(d.report.Steps, step)
	}
	d.report.Outcome = d.report.outcome()
	return d.report
}

func (d *diagnosis) end() {
	for _, f := range d.ended {
		f()
	}
}

// missing names those steps that failed and without which there is no need to look.
func (d *diagnosis) missing(needs []string) (all []string) {
	for _, name := range needs {
		s := d.report.Step(name)
		var causes []string
		switch {
		case s == nil:
		case s.State == Fail:
			causes = []string{name}
		default:
			causes = s.lacking
		}
		for _, c := range causes {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

// bounded is a context for one step that waits.
func (d *diagnosis) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(d.ctx, d.options.Timeout)
}

// readURI is the first step.
func (d *diagnosis) readURI(s *Step) {
	text := d.options.URI
	if scheme, rest, ok := strings.Cut(text, "://"); ok && !strings.HasPrefix(scheme, "PYRONAME") && !strings.Contains(rest, "/") {
		// The URI of a daemon: of the object that every daemon has.
		address, query, pinned := strings.Cut(rest, "?")
		if text = scheme + "://" + address + "/" + broker.SelfName; pinned {
			text += "?" + query
		}
	}
	u, err := uri.Parse(text)
	if err != nil {
		d.badURI(s, err)
		return
	}
	if u.Scheme != uri.PYROSSL && u.Scheme != uri.PYROLOCSSL {
		s.fail(fmt.Sprintf("%s is a name for a name server", u), "the URI of an object at a daemon")
		s.fix(Client, "give the PYROSSL:// URI that the name stands for, or that of the name server, to see why it cannot be asked")
		return
	}
	d.uri = u
	s.ok(fmt.Sprintf("object %s of the daemon at host %s, port %d", u.Object, u.Host, u.Port))
	if u.ID != "" {
		s.fact("the server must prove to be " + u.ID + ", whatever its host names")
	}
}
