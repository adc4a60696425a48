package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/broker/internal/wire"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// Bounds of the metrics server. A few programs fetch some kilobytes, every few seconds.
const (
	maxScrapers           = 32
	maxScrapersPerAddress = 8
	maxScrapeHeader       = 8 << 10 // bytes
	maxScrapeStreams      = 4       // of one HTTP/2 connection
	scrapeTimeout         = 5 * time.Second
	scrapeIdle            = 2 * time.Minute
	scrapeDrain           = time.Second
)

// metricsPath is where Prometheus looks unless it is told otherwise.
const metricsPath = "/metrics"

// ServeMetrics gives the daemon's figures at /metrics on a listener of its own, for
// programs that fetch them over HTTPS. It is one more way to Pyro.Daemon.Metrics and to
// nothing else: the client shows its certificate over TLS 1.3 and goes through the
// daemon's checks, and for each request anew the same identity, rules and interceptors
// decide as for that call. Who is refused gets status 403 and the incident. A daemon
// that asks for a second factor refuses everybody here, since HTTP has no place for it.
//
// It returns when ctx ends or the daemon stops, nil after such an end, and closes the
// listener.
func (d *Daemon) ServeMetrics(ctx context.Context, l net.Listener) error {
	config, err := certs.HTTPSConfig(d.config.Certs, certs.RecheckAfterHandshake())
	if err != nil {
		l.Close()
		return fmt.Errorf("broker: metrics: %w", err)
	}
	s := &http.Server{
		Handler: http.HandlerFunc(d.scrape), TLSConfig: config, ErrorLog: log.New(&scrapeLog{d.log}, "", 0),
		ReadHeaderTimeout: scrapeTimeout, ReadTimeout: scrapeTimeout, WriteTimeout: 2 * scrapeTimeout, IdleTimeout: scrapeIdle,
		MaxHeaderBytes: maxScrapeHeader, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxScrapeStreams},
	}
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(d.ctx, cancel)
	defer stop()
	ended := make(chan struct{})
	go func() { // ends when one of the two contexts does, or Serve
		defer close(ended)
		<-both.Done()
		drain, done := context.WithTimeout(context.Background(), scrapeDrain)
		defer done()
		if s.Shutdown(drain) != nil {
			s.Close()
		}
	}()
	err = s.ServeTLS(&scrapeListener{Listener: l, daemon: d, budget: newBudget(maxScrapers, maxScrapersPerAddress)}, "", "")
	cancel()
	<-ended
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("broker: metrics: %w", err)
}

// scrapeListener bounds the connections. One too many is closed at once, and not kept
// waiting: who holds the places could keep everybody else waiting for ever.
type scrapeListener struct {
	net.Listener
	daemon *Daemon
	budget *budget
}

func (l *scrapeListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addressOf(c).Addr()
		if l.budget.take(addr) {
			return &scrapeConn{Conn: c, give: sync.OnceFunc(func() { l.budget.give(addr) })}, nil
		}
		l.daemon.counters.droppedEarly.Add(1)
		l.daemon.log.Debug("metrics connection closed before TLS", "address", addr, "reason", "too many")
		c.Close()
	}
}

// scrapeConn gives its place back when it is closed.
type scrapeConn struct {
	net.Conn
	give func()
}

func (c *scrapeConn) Close() error {
	defer c.give()
	return c.Conn.Close()
}

// scrapeLog takes what net/http has to say: handshakes that failed, for the most part.
type scrapeLog struct{ log *slog.Logger }

func (l *scrapeLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(strings.TrimPrefix(string(line), "http: "))
	level := slog.LevelWarn
	if strings.HasSuffix(text, ": EOF") {
		level = slog.LevelDebug // a port scan, or a load balancer's check
	}
	l.log.Log(context.Background(), level, "metrics connection refused", "error", text)
	return len(line), nil
}

// scrape answers one request.
func (d *Daemon) scrape(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), scrapeTimeout)
	defer cancel()
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	p := &Peer{Session: newSessionID(), Since: time.Now()}
	if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		p.Address = netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
	}
	text, refused := d.scrapeFor(ctx, r.TLS, p)
	switch {
	case refused != nil:
		status := http.StatusInternalServerError
		if refused.Kind == wire.KindDenied {
			status = http.StatusForbidden
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "%s\n", scrapeRefusal(refused))
	case r.URL.Path != metricsPath:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "there is nothing here but %s\n", metricsPath)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		header.Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		fmt.Fprintln(w, "want GET")
	default:
		header.Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		fmt.Fprint(w, text)
	}
}

func scrapeRefusal(e *wire.ErrorBody) string {
	text := e.Message
	if text == "" {
		text = Kind(e.Kind).String()
	}
	if e.Incident != "" {
		text += "  [incident " + e.Incident + "]"
	}
	return text
}

// scrapeFor is a connection and a call in one: the checks of a handshake, in their
// order, by what holds at this moment, and then the call of Pyro.Daemon.Metrics.
func (d *Daemon) scrapeFor(ctx context.Context, cs *tls.ConnectionState, p *Peer) (text string, refused *wire.ErrorBody) {
	denial := d.scraper(ctx, cs, p)
	if denial == nil {
		denial = d.scrapeHook(ctx, p)
	}
	if denial != nil {
		return "", d.scrapeDenied(p, denial)
	}
	defer d.hookEnded(p, nil)
	c := &callee{peer: p, host: d, errors: d.errors, log: d.log, intercept: d.side.intercept}
	_, m, refused := c.admit(ctx, []byte(SelfName), []byte("Metrics"), validator.KindCall)
	if refused != nil {
		return "", refused
	}
	var b strings.Builder
	run := func(context.Context) error { return d.WriteMetrics(&b) }
	err := contained(func() error {
		ctx := context.WithValue(ctx, callerKey{}, p)
		if c.intercept == nil {
			return run(ctx)
		}
		return c.intercept(ctx, &CallInfo{Object: SelfName, Method: "Metrics", Peer: p, Incoming: true}, run)
	})
	if err != nil {
		return "", c.failure(ctx, m, err)
	}
	return b.String(), nil
}

// scraper finds out who fetches, and whether it may connect.
func (d *Daemon) scraper(ctx context.Context, cs *tls.ConnectionState, p *Peer) *validator.Denial {
	if cs == nil || len(cs.PeerCertificates) == 0 {
		return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckChain, Got: "a client without a certificate", Want: "one by a trusted authority"}
	}
	p.Certificate = cs.PeerCertificates[0]
	blocked := d.steps.AcceptHost(ctx, p.Address.Addr())
	chain, denial := verified(cs.PeerCertificates, d.config.Certs.Current())
	if denial != nil {
		return denial
	}
	if blocked != nil {
		return blocked
	}
	if p.Identity, denial = d.steps.CheckCertificate(ctx, chain); denial != nil {
		return denial
	}
	binding, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckProtocol, Err: err}
	}
	challenge, denial := d.steps.Challenge(ctx, &validator.Exchange{Identity: p.Identity, Addr: p.Address.Addr(), ChannelBinding: binding})
	if denial == nil && challenge != nil {
		denial = &validator.Denial{Code: validator.DeniedSecurity, Check: validator.CheckIdentification,
			Got: "a request over HTTPS, which has no place for the second factor that this daemon asks for", Want: "a call of Pyro.Daemon.Metrics"}
	}
	return denial
}

// scrapeHook asks Config.OnConnect.
func (d *Daemon) scrapeHook(ctx context.Context, p *Peer) *validator.Denial {
	err := (&handshake{daemon: d, peer: p}).connected(ctx)
	var denial *validator.Denial
	if err == nil || errors.As(err, &denial) {
		return denial
	}
	return &validator.Denial{Code: validator.DeniedUnspecified, Check: validator.CheckAdmission, Err: err}
}

// scrapeDenied notes a refusal, as that of a connection.
func (d *Daemon) scrapeDenied(p *Peer, denial *validator.Denial) *wire.ErrorBody {
	incident := newIncident()
	d.counters.refused(denial)
	d.record.add(Incident{ID: incident, Time: time.Now().UTC(), Event: connectionDenied, Object: SelfName, Method: "Metrics"}.of(p).because(denial))
	d.auditConnection("connection", incident, p, denial)
	attrs := []any{"incident", incident, "address", p.Address, "code", denial.Code.String(), "check", denial.Check, "got", denial.Got, "want", denial.Want}
	if p.Certificate != nil {
		attrs = append(attrs, "subject", p.Certificate.Subject.String(), "serial", p.Certificate.SerialNumber.Text(16))
	}
	if denial.Err != nil {
		attrs = append(attrs, slog.Any("error", denial.Err))
	}
	d.log.Warn("metrics refused", attrs...)
	return &wire.ErrorBody{Kind: wire.KindDenied, Message: "denied: " + reason(denial), Incident: incident}
}
