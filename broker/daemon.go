package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/session"
	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Config is what a Daemon is made of. Certs, Validator and Authorizer must be
// set: there is no default that lets anyone in.
type Config struct {
	// Addr to listen on, ":7766" when empty.
	Addr string
	// Listener is used instead of Addr, if set; the daemon closes it.
	Listener net.Listener
	// PublishHost and PublishPort stand in the URIs that Register returns, for
	// daemons behind NAT. The certificate must cover the host. Without them it is
	// the host of Addr, or the machine's name, and the port listened on.
	PublishHost string
	PublishPort int

	// Certs gives the daemon's certificate and the CAs it trusts.
	Certs certs.Source
	// Validator decides who may connect.
	Validator validator.Validator
	// Authorizer decides every call.
	Authorizer validator.Authorizer

	// Errors keep their meaning for callers that list them too.
	Errors Errors
	// Interceptors stand around every call, the first one outermost.
	Interceptors []Interceptor
	// OnConnect is called before a client is welcomed, in the handshake's time. Its
	// error refuses the client, in its words if it is a *validator.Denial. It may keep
	// values in the Peer. OnDisconnect is called when an accepted connection has ended,
	// with why, nil if the client left.
	OnConnect    func(context.Context, *Peer) error
	OnDisconnect func(*Peer, error)
	// Client follows references to objects of other daemons that clients pass, and enters
	// the names of InNames and InGroup into its name server; when nil both are refused.
	Client *Client
	// Limits of one connection.
	Limits Limits
	// ResumeSessions lets clients resume TLS sessions, which saves both sides about half of
	// a handshake's work. Tickets are void when certificates, authorities or lists change,
	// and every check is made again. Off unless set: a resumed session shows that the client
	// was here before, not anew that it has its private key.
	ResumeSessions bool
	// HandshakeTimeout is the time from accept to the verdict, 5 s when 0.
	HandshakeTimeout time.Duration
	// MaxHandshakes and MaxHandshakesPerAddress bound the connections that have
	// no verdict yet: 256 and 16 when 0.
	MaxHandshakes, MaxHandshakesPerAddress int
	// DrainTimeout is how long Serve waits for calls in flight when its context
	// ends, 10 s when 0.
	DrainTimeout time.Duration
	// Logger gets refusals and failures; slog.Default when nil.
	Logger *slog.Logger
	// Audit gets one line for each decision: a connection that was accepted or denied, a
	// call that the authorizer was asked about, a session that was ended. Nil for none.
	Audit *slog.Logger
	// Record is a file that keeps the latest incidents beyond the end of the process; two
	// of at most 4 MiB are kept. Without it they are in memory only. Pyro.Daemon.Incident
	// gives them to those who may call it.
	Record string
}

// Daemon exports objects. It is safe for concurrent use.
//
// Its goroutines: while Serve runs one that accepts, one that watches what decisions
// depend on and one that enters names; one a connection, which also runs methods that are
// quick; one for each other call. Close waits for them.
type Daemon struct {
	config    Config
	log       *slog.Logger
	steps     validator.Steps
	tls       *tls.Config
	versioned validator.Versioned // the authorizer, when its decisions may be kept
	errors    *errorTable
	side      caller
	monitor   session.Monitor
	kinds     kinds
	live      liveKinds
	trial     sync.Mutex // held by WouldCut
	record    *record
	announcer *announcer
	changes   atomic.Uint64 // counts the changes that reevaluate has seen
	limits    wire.Limits
	listener  net.Listener
	host      string
	port      uint16
	started   time.Time
	budget    *budget
	counters  counters

	mu       sync.Mutex
	serving  bool
	draining bool
	open     map[*connection]struct{}
	objects  atomic.Pointer[registry]
	urls     references      // of registered objects; guarded by mu
	ctx      context.Context // ends when no more connections are accepted
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// NewDaemon checks the configuration and listens, so that URIs can be given
// out; connections are accepted once Serve runs. It refuses to start when its
// own certificate does not cover the host that it publishes.
func NewDaemon(c Config) (*Daemon, error) {
	d := &Daemon{config: c, log: c.Logger, open: make(map[*connection]struct{}), urls: make(references)}
	if d.log == nil {
		d.log = slog.Default()
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	if err := d.configure(); err != nil {
		return nil, err
	}
	var err error
	d.record, err = newRecord(c.Record, func(err error) { d.log.Error("record of incidents", "error", err) })
	if err != nil {
		return nil, err
	}
	if err := d.begin(); err != nil {
		d.record.close()
		return nil, err
	}
	return d, nil
}

// begin listens, and exports the daemon itself.
func (d *Daemon) begin() error {
	if err := d.listen(); err != nil {
		return err
	}
	empty := registry{}
	d.objects.Store(&empty)
	err := d.publish()
	if err == nil {
		_, err = d.Register(SelfName, &Self{d}, ExposeAs[selfMethods](), IdempotentMethods(selfNames()...))
	}
	if err != nil {
		d.listener.Close()
	}
	return err
}

func (d *Daemon) configure() (err error) {
	c := &d.config
	if c.Certs == nil {
		return errors.New("broker: Config.Certs is nil, want the daemon's certificate: there is no connection without TLS")
	}
	if c.Authorizer == nil {
		return errors.New("broker: Config.Authorizer is nil, want the rules that say who may call what, as from validator.NewRules")
	}
	if d.steps, err = validator.StepsOf(c.Validator); err != nil {
		return fmt.Errorf("broker: Config.Validator: %w", err)
	}
	d.versioned, _ = c.Authorizer.(validator.Versioned)
	options := []certs.ServerOption{certs.RecheckAfterHandshake()}
	if c.ResumeSessions {
		options = append(options, certs.ResumeSessions())
	}
	if d.tls, err = certs.ServerConfig(c.Certs, options...); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	if d.errors, err = newErrorTable(c.Errors); err != nil {
		return err
	}
	if d.limits, err = c.Limits.wire(); err != nil {
		return err
	}
	d.side = caller{errors: d.errors, log: d.log, intercept: chain(c.Interceptors)}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 5 * time.Second
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 10 * time.Second
	}
	if c.MaxHandshakes == 0 {
		c.MaxHandshakes = 256
	}
	if c.MaxHandshakesPerAddress == 0 {
		c.MaxHandshakesPerAddress = 16
	}
	if c.HandshakeTimeout < 0 || c.DrainTimeout < 0 || c.MaxHandshakes < 0 || c.MaxHandshakesPerAddress < 0 {
		return errors.New("broker: negative HandshakeTimeout, DrainTimeout, MaxHandshakes or MaxHandshakesPerAddress in Config")
	}
	d.budget = newBudget(c.MaxHandshakes, c.MaxHandshakesPerAddress)
	d.announcer, err = d.newAnnouncer()
	return err
}

func (d *Daemon) listen() (err error) {
	if d.listener = d.config.Listener; d.listener != nil {
		return nil
	}
	addr := d.config.Addr
	if addr == "" {
		addr = ":" + strconv.Itoa(uri.DefaultPort)
	}
	if d.listener, err = net.Listen("tcp", addr); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

// publish settles the host and port of the URIs.
func (d *Daemon) publish() error {
	host := d.config.PublishHost
	if host == "" {
		host, _, _ = net.SplitHostPort(d.config.Addr)
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host, _ = os.Hostname()
		}
	}
	host = strings.ToLower(host)
	port := d.config.PublishPort
	if port == 0 {
		_, p, err := net.SplitHostPort(d.listener.Addr().String())
		if err != nil {
			return fmt.Errorf("broker: listener address %q has no port; set Config.PublishPort", d.listener.Addr())
		}
		port, _ = strconv.Atoi(p)
	}
	if port < 1 || port > 65535 {
		return fmt.Errorf("broker: Config.PublishPort %d is not 1–65535", port)
	}
	if err := certs.Covers(d.config.Certs.Current().Chain[0], host); err != nil {
		return fmt.Errorf("broker: the daemon would publish URIs with host %q, which its own certificate does not cover, so every client would refuse it: %w; set Config.PublishHost to a name in the certificate", host, err)
	}
	d.host, d.port = host, uint16(port)
	if err := d.uri(SelfName).Check(); err != nil {
		return fmt.Errorf("broker: the daemon's URIs would be wrong: %w", err)
	}
	return nil
}

func (d *Daemon) uri(name string) uri.URI {
	return uri.URI{Scheme: uri.PYROSSL, Host: d.host, Port: d.port, Object: name}
}

// Addr is the address that the daemon listens on.
func (d *Daemon) Addr() net.Addr { return d.listener.Addr() }

// Register exposes the exported methods of object under a name, and returns the
// URI to call it by. A method takes a context first, if it wants one, then any
// types that the codec can carry, and returns up to one value and an error.
// What cannot be carried is refused here, with the method and the reason.
func (d *Daemon) Register(name string, object any, opts ...RegisterOption) (uri.URI, error) {
	o, err := newObject(name, object, opts)
	if err != nil {
		return uri.URI{}, err
	}
	if err := d.uri(name).Check(); err != nil {
		return uri.URI{}, fmt.Errorf("broker: object name %q: %w", name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	next, err := d.objects.Load().with(o)
	if err == nil {
		err = d.announcer.add(d.uri(name).String(), o.names)
	}
	if err != nil {
		return uri.URI{}, err
	}
	d.objects.Store(&next)
	d.urls.add(object, d.uri(name).String())
	if o.life != nil {
		o.life.start(func() { d.unregister(o, "not called for "+o.life.age.String()) })
	}
	return d.uri(name), nil
}

// Unregister takes an object away. Calls that run on it finish. The object is told if
// it is a [Releaser].
func (d *Daemon) Unregister(name string) error {
	if name == SelfName {
		return fmt.Errorf("broker: %s is part of the daemon and cannot be unregistered", name)
	}
	o := (*d.objects.Load())[name]
	if o == nil || !d.unregister(o, "unregistered") {
		return fmt.Errorf("broker: object %q is not registered", name)
	}
	return nil
}

// unregister reports false when the object was gone before.
func (d *Daemon) unregister(o *object, why string) bool {
	d.mu.Lock()
	if (*d.objects.Load())[o.name] != o {
		d.mu.Unlock()
		return false
	}
	next := d.objects.Load().without(o.name)
	d.objects.Store(&next)
	d.urls.drop(o.value)
	d.mu.Unlock()
	d.announcer.drop(o.names)
	o.end(why)
	return true
}

// Serve accepts connections until ctx ends or Shutdown or Close is called. When
// ctx ends, calls in flight may finish within Config.DrainTimeout. It returns
// nil after a clean end. It may be called once.
func (d *Daemon) Serve(ctx context.Context) error {
	d.mu.Lock()
	if d.serving || d.draining {
		serving := d.serving
		d.mu.Unlock()
		if serving {
			return errors.New("broker: Serve was called before")
		}
		return nil // closed before it began
	}
	d.serving, d.started = true, time.Now()
	d.running.Add(1)
	d.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { d.stopAccepting() })
	defer stop()
	d.running.Add(1)
	go d.watch() // ends when no more connections are accepted
	if d.announcer.proxy != nil {
		d.running.Add(1)
		go func() { // likewise
			defer d.running.Done()
			d.announcer.run(d.ctx)
		}()
	}
	err := d.accept()
	d.running.Done()
	if ctx.Err() != nil {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.config.DrainTimeout)
		defer cancel()
		err = d.Shutdown(drain)
	}
	return err
}

func (d *Daemon) stopAccepting() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.draining {
		d.draining = true
		d.cancel()
		d.listener.Close()
	}
}

// Shutdown accepts no more connections and no new calls, waits until the calls
// in flight are answered, and closes. When ctx ends first it closes at once and
// returns ctx's error: calls were cut off.
func (d *Daemon) Shutdown(ctx context.Context) error {
	d.announcer.leave(ctx)
	d.stopAccepting()
	d.mu.Lock()
	var waiting []*connection
	for c := range d.open {
		waiting = append(waiting, c)
	}
	d.mu.Unlock()
	var cutOff atomic.Bool
	var wg sync.WaitGroup
	for _, c := range waiting {
		wg.Go(func() {
			if !c.drain(ctx) {
				cutOff.Store(true)
			}
		})
	}
	wg.Wait() // at the latest when ctx ends
	var err error
	if cutOff.Load() {
		err = fmt.Errorf("broker: shutdown cut off calls that were still running: %w", ctx.Err())
	}
	d.Close()
	return err
}

// Close ends everything at once: calls in flight are cancelled. It waits for
// the daemon's goroutines, but for no longer than a second for methods that do
// not heed their context.
func (d *Daemon) Close() error {
	d.stopAccepting()
	d.mu.Lock()
	for c := range d.open {
		go c.close("the daemon was closed")
	}
	objects := *d.objects.Load()
	d.mu.Unlock()
	d.running.Wait()
	for _, o := range objects {
		o.life.stop()
	}
	d.record.close()
	return nil
}
