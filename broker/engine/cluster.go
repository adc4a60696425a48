package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pyrossl/pyrossl/certs"
)

// ClusterConfig is how to reach a cluster elsewhere. URLs and Certs must be set.
type ClusterConfig struct {
	// URLs are the nodes', as nats://HOST:PORT or tls://HOST:PORT, which are the same: each
	// host is checked against its node's certificate, and TLS comes first, so that nothing
	// is said in the clear. A nats-server that was configured by hand needs
	// handshake_first in its tls block.
	URLs []string
	// Certs proves this broker, and says whom it trusts. What it has at the time of each
	// dial counts.
	Certs certs.Source
	// Replicas is how many nodes keep each stream: 1, 3 or 5. As many as URLs are
	// given, but at most 5, when 0; of an even number, one less.
	Replicas int
	// Logger is slog.Default when nil.
	Logger *slog.Logger
}

// Connect connects to a cluster. After that the connection comes back by itself.
func Connect(ctx context.Context, c ClusterConfig) (*Engine, error) {
	if c.Certs == nil {
		return nil, errors.New("engine: ClusterConfig.Certs is nil, want the certificate that the cluster's nodes know this broker by")
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	e := &Engine{mode: "cluster", replicas: c.Replicas, log: log, done: make(chan struct{}), link: newLink(log)}
	d := &dialer{src: c.Certs}
	how := append(e.link.options(), nats.SetCustomDialer(d), nats.SkipHostLookup(), nats.IgnoreDiscoveredServers(), nats.Timeout(dialTime))
	o := nats.GetDefaultOptions()
	o.Servers = c.URLs
	for _, opt := range how {
		if err := opt(&o); err != nil {
			return nil, fmt.Errorf("engine: %w", err)
		}
	}
	var err error
	if e.conn, err = o.Connect(); err != nil {
		return nil, fmt.Errorf("engine: no node of %v could be reached: %w", c.URLs, errors.Join(d.last(), err))
	}
	if err := e.use(ctx); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// complete checks the URLs and fills in the number of replicas.
func (c *ClusterConfig) complete() error {
	if len(c.URLs) == 0 {
		return errors.New("engine: ClusterConfig.URLs is empty, want the nodes' URLs such as nats://engine-1.example:4222")
	}
	c.URLs = slices.Clone(c.URLs)
	for i, text := range c.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" {
			return fmt.Errorf("engine: node URL %q, want nats://HOST:PORT", text)
		}
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), "4222")
		}
		c.URLs[i] = "nats://" + u.Host
	}
	if c.Replicas == 0 {
		c.Replicas = min(5, len(c.URLs)-(len(c.URLs)+1)%2)
	}
	if c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5 {
		return fmt.Errorf("engine: %d replicas, want 1, 3 or 5", c.Replicas)
	}
	return nil
}

const dialTime = 5 * time.Second

// dialer makes connections with the certificate of the moment. To the NATS client they
// are connections that need no TLS any more.
type dialer struct {
	src certs.Source
	err slot
}

// SkipTLSHandshake tells the NATS client.
func (d *dialer) SkipTLSHandshake() bool { return true }

// Dial connects, and makes sure who is there.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	c, err := d.dial(network, address)
	if err != nil {
		err = fmt.Errorf("%s: %w", address, err)
		d.err.set(err)
	}
	return c, err
}

func (d *dialer) dial(network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	config, err := certs.EngineClientConfig(d.src, certs.Expect{Host: host})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) {
			err = fmt.Errorf("%w: what is there does not begin with TLS; a nats-server needs handshake_first in its tls block", err)
		}
		return nil, err
	}
	return c, nil
}

func (d *dialer) last() error { return d.err.get() }
