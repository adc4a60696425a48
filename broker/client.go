package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/naming"
	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// ClientConfig is what a Client is made of. Certs must be set.
type ClientConfig struct {
	// Certs gives the client's certificate and the CAs it trusts.
	Certs certs.Source
	// Validator makes the tokens of a second factor; a *validator.Default when
	// nil.
	Validator validator.Validator
	// Identification is the second factor of proxies that have none of their
	// own: validator.Passphrase, validator.Login, or what Validator understands.
	Identification any
	// Errors keep their meaning when the daemon lists them too.
	Errors Errors
	// Interceptors stand around every call, the first one outermost; CallbackInterceptors
	// around every call of a daemon to a callback of this client.
	Interceptors, CallbackInterceptors []Interceptor
	// Authorizer decides what daemons may call of the callbacks that were passed to them;
	// when nil they may call what those expose. A daemon's identity is named by the host or
	// identity in the URI that it was called by.
	Authorizer validator.Authorizer
	// References decides about references to objects of other daemons than the one that
	// they came from, before anything is dialled. When nil they are refused.
	References func(from, to uri.URI) error
	// Names is the name server, such as PYROLOCSSL://ns.example:7766/Pyro.NameServer. It
	// is needed for PYRONAME:// URIs that give no host, and for objects that a daemon
	// with this client registers with InNames.
	Names string
	// Timeout bounds each call whose context has no deadline, 30 s when 0,
	// without limit when negative.
	Timeout time.Duration
	// ConnectTimeout bounds connecting, from the dial to the verdict, 10 s when 0.
	ConnectTimeout time.Duration
	// Limits of one connection.
	Limits Limits
	// ResumeSessions resumes TLS sessions with daemons that allow it; see
	// Config.ResumeSessions.
	ResumeSessions bool
	// Dial connects to host:port; a net.Dialer when nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger gets what no caller is told, such as a refused oneway call;
	// slog.Default when nil.
	Logger *slog.Logger
}

// Client makes proxies. It keeps one connection to each daemon and second
// factor, which all its proxies share; calls run side by side on it. It is safe
// for concurrent use.
type Client struct {
	config    ClientConfig
	steps     validator.Steps
	versioned validator.Versioned
	side      caller
	monitor   session.Monitor
	callbacks Interceptor
	kinds     kinds
	limits    wire.Limits
	log       *slog.Logger

	tlsOptions []certs.ClientOption
	names      uri.URI // of the name server; zero for none
	watchOnce  sync.Once

	mu        sync.Mutex
	links     map[linkKey]*link
	resolvers map[uri.URI]*resolver // by name server
	closed    bool
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	wg        sync.WaitGroup
}

// NewClient checks the configuration. It connects to nothing.
func NewClient(c ClientConfig) (*Client, error) {
	if c.Certs == nil {
		return nil, errors.New("broker: ClientConfig.Certs is nil, want the client's certificate: there is no connection without TLS")
	}
	if c.Validator == nil {
		c.Validator = new(validator.Default)
	}
	cl := &Client{config: c, log: c.Logger, links: make(map[linkKey]*link), resolvers: make(map[uri.URI]*resolver)}
	if cl.log == nil {
		cl.log = slog.Default()
	}
	var err error
	if cl.steps, err = validator.StepsOf(c.Validator); err != nil {
		return nil, fmt.Errorf("broker: ClientConfig.Validator: %w", err)
	}
	table, err := newErrorTable(c.Errors)
	if err != nil {
		return nil, err
	}
	cl.side = caller{errors: table, log: cl.log, intercept: chain(c.Interceptors)}
	cl.callbacks = chain(c.CallbackInterceptors)
	cl.versioned, _ = c.Authorizer.(validator.Versioned)
	if cl.limits, err = c.Limits.wire(); err != nil {
		return nil, err
	}
	if c.ResumeSessions {
		cl.tlsOptions = []certs.ClientOption{certs.ResumeWith(certs.NewSessions(resumable))}
	}
	if c.Timeout == 0 {
		cl.config.Timeout = 30 * time.Second
	}
	if c.ConnectTimeout == 0 {
		cl.config.ConnectTimeout = 10 * time.Second
	}
	if c.Dial == nil {
		cl.config.Dial = new(net.Dialer).DialContext
	}
	if c.Names != "" {
		u, err := uri.Parse(c.Names)
		if err != nil || u.Scheme != uri.PYROSSL && u.Scheme != uri.PYROLOCSSL {
			return nil, fmt.Errorf("broker: ClientConfig.Names is %q, want the URI of a name server such as PYROLOCSSL://ns.example:7766/%s", c.Names, naming.Object)
		}
		cl.names = u
	}
	cl.ctx, cl.cancel = context.WithCancel(context.Background())
	return cl, nil
}

// resumable is how many daemons a client keeps TLS sessions of.
const resumable = 64

// ProxyOption changes one proxy.
type ProxyOption func(*Proxy) error

// WithIdentification gives a proxy a second factor of its own. Proxies with
// different ones never share a connection.
func WithIdentification(ident any) ProxyOption {
	return func(p *Proxy) error {
		if ident == nil {
			return errors.New("WithIdentification(nil), want a passphrase or login")
		}
		p.ident = ident
		return nil
	}
}

// WithTimeout bounds each call of a proxy whose context has no deadline.
// Negative means no limit.
func WithTimeout(d time.Duration) ProxyOption {
	return func(p *Proxy) error {
		if d == 0 {
			return errors.New("WithTimeout(0), want a positive duration, or a negative one for no limit")
		}
		p.timeout = d
		return nil
	}
}

// Idempotent names methods that the proxy may call again after the connection
// was lost and nobody knows whether they have run. The daemon accepts that only
// of methods that Register declared with IdempotentMethods.
func Idempotent(methods ...string) ProxyOption {
	return func(p *Proxy) error {
		for _, m := range methods {
			p.idempotent[m] = true
		}
		return nil
	}
}

// Proxy returns a proxy for the object at a PYROSSL:// or PYROLOCSSL:// URI, or of that name
// for a PYRONAME:// or PYRONAMESSL:// URI. It connects with the first call, or with
// Connect. Where a name leads is found out then, and again when that changes.
func (c *Client) Proxy(ctx context.Context, rawURI string, opts ...ProxyOption) (*Proxy, error) {
	u, err := uri.Parse(rawURI)
	if err != nil {
		return nil, err
	}
	switch u.Scheme {
	case uri.PYROSSL, uri.PYROLOCSSL:
		return c.proxy(u, opts)
	}
	return c.named(u, opts)
}

func (c *Client) proxy(u uri.URI, opts []ProxyOption) (*Proxy, error) {
	p, err := c.newProxy(u, opts)
	if err != nil {
		return nil, err
	}
	if p.link, err = c.linkFor(u, p.ident); err != nil {
		return nil, err
	}
	return p, nil
}

func (c *Client) newProxy(u uri.URI, opts []ProxyOption) (*Proxy, error) {
	p := &Proxy{client: c, uri: u, address: u.Address(), side: &c.side, ident: c.config.Identification, timeout: c.config.Timeout, idempotent: make(map[string]bool)}
	for _, opt := range opts {
		if err := opt(p); err != nil {
			return nil, fmt.Errorf("broker: proxy for %s: %w", u, err)
		}
	}
	return p, nil
}

// linkKey is what proxies must agree on to share a connection.
type linkKey struct {
	address string
	pin     string
	ident   any
}

func (c *Client) linkFor(u uri.URI, ident any) (*link, error) {
	key := linkKey{address: u.Address(), pin: u.ID}
	var munged any
	if ident != nil {
		var err error
		if munged, err = c.steps.MungeIdent(ident); err != nil {
			return nil, fmt.Errorf("broker: identification: %w", err)
		}
		if key.ident, err = identKey(munged); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClientClosed
	}
	l := c.links[key]
	if l == nil {
		l = newLink(c, u, munged)
		c.links[key] = l
	}
	return l, nil
}

var errClientClosed = errors.New("broker: the client is closed")

// Close ends all connections; calls in flight fail, oneway calls have a second
// to arrive. It waits for the client's goroutines.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	links := c.links
	c.links = nil
	c.mu.Unlock()
	c.cancel()
	var wg sync.WaitGroup
	for _, l := range links {
		wg.Go(l.close)
	}
	wg.Wait()
	c.wg.Wait()
	return nil
}
