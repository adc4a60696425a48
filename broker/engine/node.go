package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/pyrossl/pyrossl/certs"
)

// NodeConfig is what a node of a cluster is made of. All but Sync, MaxStore, Name and
// Logger must be set.
type NodeConfig struct {
	Dir      string // as for an embedded engine
	Sync     Sync
	MaxStore int64
	Logger   *slog.Logger

	// Name is the node's, one of its own in the cluster; made up and kept in Dir when
	// empty.
	Name string
	// Cluster is the cluster's name, the same for all nodes.
	Cluster string
	// Listen is where brokers connect to, RouteListen where other nodes do: HOST:PORT.
	Listen, RouteListen string
	// Routes are the RouteListen addresses of other nodes, as they can be reached. Some
	// are enough; the node itself may be among them.
	Routes []string

	// Certs proves this node, to both: its certificate is for serverAuth and clientAuth.
	Certs certs.Source
	// Nodes are the principals that may join as nodes, this one's among them, and
	// Brokers those that may use the cluster, as kind:value.
	Nodes, Brokers []string
}

// Node is a running node of a cluster.
type Node struct {
	server    *server.Server
	directory *directory
	watch     *Engine // in process
	closing   sync.Once
	done      chan struct{}
}

// StartNode starts a node. It is ready for others at once; whether the cluster works is
// for [Node.Status] to say.
func StartNode(c NodeConfig) (*Node, error) {
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	dir, err := claim(c.Dir)
	if err != nil {
		return nil, err
	}
	o, err := c.options(dir)
	if err != nil {
		dir.release()
		return nil, err
	}
	s, err := start(o, newServerLog(log))
	if err != nil {
		dir.release()
		return nil, fmt.Errorf("engine: node in %q: %w", c.Dir, err)
	}
	n := &Node{server: s, directory: dir, done: make(chan struct{})}
	n.watch = &Engine{server: s, mode: "node", replicas: 1, sync: c.Sync, log: log, link: newLink(log), done: make(chan struct{}), directory: dir}
	if n.watch.conn, err = nats.Connect("", append(n.watch.link.options(), nats.InProcessServer(s))...); err == nil {
		err = n.watch.prepare()
	}
	if err != nil {
		n.stop()
		return nil, fmt.Errorf("engine: %w", err)
	}
	return n, nil
}

func (c *NodeConfig) check() error {
	switch {
	case c.Dir == "":
		return errors.New("engine: NodeConfig.Dir is empty, want a directory for the data")
	case c.Cluster == "":
		return errors.New("engine: NodeConfig.Cluster is empty, want the cluster's name, the same for all its nodes")
	case c.Certs == nil:
		return errors.New("engine: NodeConfig.Certs is nil, want the node's certificate")
	case len(c.Nodes) == 0:
		return errors.New("engine: NodeConfig.Nodes is empty, want the principals that may join as nodes: any certificate of the same authority could otherwise")
	case len(c.Brokers) == 0:
		return errors.New("engine: NodeConfig.Brokers is empty, want the principals that may use the cluster")
	}
	return nil
}

// options are the server's. Ports are open to TLS only, from the first byte.
func (c *NodeConfig) options(dir *directory) (*server.Options, error) {
	o := options(Config{Dir: c.Dir, Sync: c.Sync, MaxStore: c.MaxStore}, dir)
	o.DontListen, o.NoSystemAccount = false, false // nodes speak to each other through it
	if c.Name != "" {
		o.ServerName = c.Name
	}
	var err error
	if o.Host, o.Port, err = split("Listen", c.Listen); err != nil {
		return nil, err
	}
	o.Cluster.Name, o.NoSublistCache = c.Cluster, false
	if o.Cluster.Host, o.Cluster.Port, err = split("RouteListen", c.RouteListen); err != nil {
		return nil, err
	}
	for _, r := range c.Routes {
		if _, _, err := net.SplitHostPort(r); err != nil {
			return nil, fmt.Errorf("engine: route %q, want HOST:PORT", r)
		}
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: r})
	}
	if o.TLSConfig, err = certs.EngineNodeConfig(c.Certs, c.Brokers); err != nil {
		return nil, fmt.Errorf("engine: brokers: %w", err)
	}
	o.TLS, o.TLSVerify, o.TLSHandshakeFirst, o.TLSTimeout = true, true, true, handshakeTime.Seconds()
	if o.Cluster.TLSConfig, err = certs.EngineNodeConfig(c.Certs, c.Nodes); err != nil {
		return nil, fmt.Errorf("engine: nodes: %w", err)
	}
	o.Cluster.TLSTimeout = handshakeTime.Seconds()
	o.Cluster.NoAdvertise = true // brokers are told the nodes by their operators
	// A node that was cut off is noticed sooner than with the server's own figures.
	o.Cluster.PingInterval, o.Cluster.MaxPingsOut, o.Cluster.WriteDeadline = 2*time.Second, 2, 2*time.Second
	o.LameDuckDuration, o.LameDuckGracePeriod = 2*time.Second, 500*time.Millisecond
	return o, nil
}

const handshakeTime = 5 * time.Second

func split(what, address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("engine: NodeConfig.%s is %q, want HOST:PORT", what, address)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// Addr is where brokers connect to.
func (n *Node) Addr() net.Addr { return n.server.Addr() }

// RouteAddr is where other nodes connect to.
func (n *Node) RouteAddr() net.Addr { return n.server.ClusterAddr() }

// Status describes the node, and the cluster as it sees it. Its Error says why names and
// events do not work there: most often that too few nodes can be reached.
func (n *Node) Status(ctx context.Context) Status {
	st := n.watch.Status(ctx)
	st.Nodes = []string{n.server.Name()}
	if routes, err := n.server.Routez(nil); err == nil {
		for _, r := range routes.Routes {
			if !slices.Contains(st.Nodes, r.RemoteName) {
				st.Nodes = append(st.Nodes, r.RemoteName)
			}
		}
	}
	slices.Sort(st.Nodes)
	return st
}

// Done is closed when the node has ended, also by itself.
func (n *Node) Done() <-chan struct{} { return n.done }

// Close leaves the cluster: others take over what this node leads, then its connections are
// closed. It is idempotent.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.server.LameDuckShutdown()
		n.stop()
		close(n.done)
	})
	return nil
}

// Kill ends the node as a crash would, but for its locks. It is for tests.
func (n *Node) Kill() {
	n.closing.Do(func() {
		n.stop()
		close(n.done)
	})
}

func (n *Node) stop() {
	if n.watch.conn != nil {
		n.watch.conn.Close()
		<-n.watch.link.closed
	}
	n.server.Shutdown()
	n.server.WaitForShutdown()
	n.directory.release()
}
