package engine_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pyrossl/pyrossl/broker/engine"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
)

// cluster is three nodes in this process.
type cluster struct {
	t     *testing.T
	ca    *testca.CA
	nodes []*engine.Node
	dirs  []string
	ports []string // of routes
	urls  []string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, ca: testca.New(t)}
	for range 3 {
		c.dirs = append(c.dirs, t.TempDir())
		c.ports = append(c.ports, freePort(t))
		c.urls = append(c.urls, "nats://"+strings.Replace(freePort(t), "127.0.0.1", "localhost", 1))
		c.nodes = append(c.nodes, nil)
	}
	for i := range c.nodes {
		c.start(i)
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.Kill()
		}
	})
	return c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// both is a certificate for both purposes.
func both(t *testing.T, ca *testca.CA, name string) certs.Source {
	return source(t, ca, ca.Issue(t, testca.Leaf{DNS: []string{name, "localhost"}, EKU: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}))
}

func source(t *testing.T, ca *testca.CA, p testca.Pair) certs.Source {
	t.Helper()
	key, err := certs.NewPrivateKey(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	m, err := certs.NewMaterial(p.Chain, key, []*x509.Certificate{ca.RootCert()})
	if err != nil {
		t.Fatal(err)
	}
	return certs.Static(m)
}

func (c *cluster) both(name string) certs.Source {
	return both(c.t, c.ca, name)
}

func (c *cluster) config(i int) engine.NodeConfig {
	return engine.NodeConfig{
		Dir: c.dirs[i], Sync: engine.Sync(time.Second), Cluster: "test", Name: fmt.Sprint("n", i),
		Listen: strings.TrimPrefix(strings.Replace(c.urls[i], "localhost", "127.0.0.1", 1), "nats://"), RouteListen: c.ports[i], Routes: c.ports,
		Certs: c.both("node.example"), Nodes: []string{"dns:node.example"}, Brokers: []string{"dns:broker.example"},
		Logger: slog.New(slog.DiscardHandler),
	}
}

func (c *cluster) start(i int) {
	c.t.Helper()
	n, err := engine.StartNode(c.config(i))
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[i] = n
}

func (c *cluster) connect(src certs.Source) (*engine.Engine, error) {
	var e *engine.Engine
	var err error
	for range 60 { // until the nodes have found each other
		e, err = engine.Connect(c.t.Context(), engine.ClusterConfig{URLs: c.urls, Certs: src, Logger: slog.New(slog.DiscardHandler)})
		if err == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
			return e, err
		}
		time.Sleep(500 * time.Millisecond)
	}
	return e, err
}

// TestCluster: names on three nodes survive the loss of each one in turn, on the same
// code path as embedded.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	e, err := c.connect(source(t, c.ca, c.ca.Client(t, "broker.example")))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var b jetstream.KeyValue
	eventually(t, func() (err error) {
		b, err = e.Bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "names", History: 1})
		return err
	})
	for i := range c.nodes {
		key := fmt.Sprint("k", i)
		eventually(t, func() error {
			_, err := b.Create(t.Context(), key, []byte("v"))
			if errors.Is(err, jetstream.ErrKeyExists) {
				return nil // an attempt before has done it, and its answer was lost
			}
			return err
		})
		c.nodes[i].Kill()
		eventually(t, func() error {
			_, err := b.Get(t.Context(), key)
			return err
		})
		c.start(i)
		eventually(t, func() error { return errors.Join(e.Healthy(t.Context()), current(t, c)) })
	}
	for i := range c.nodes {
		eventually(t, func() error { // a leader may be chosen at this moment
			_, err := b.Create(t.Context(), fmt.Sprint("k", i), nil)
			if err == nil {
				t.Fatalf("k%d was lost", i)
			}
			if errors.Is(err, jetstream.ErrKeyExists) {
				return nil
			}
			return err
		})
	}
	if st := e.Status(t.Context()); st.Mode != "cluster" || !st.Connected || st.Replicas != 3 || len(st.Nodes) != 3 {
		t.Errorf("got %+v", st)
	}
}

// current reports whether all nodes work.
func current(t *testing.T, c *cluster) error {
	for i, n := range c.nodes {
		if st := n.Status(t.Context()); st.Error != "" || len(st.Nodes) != 3 {
			return fmt.Errorf("node %d: %+v", i, st)
		}
	}
	return nil
}

func eventually(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// TestStrangers: who may not have a link does not get one, and learns why.
func TestStrangers(t *testing.T) {
	c := newCluster(t)
	other := testca.New(t)
	for _, test := range []struct {
		name, want string
		src        certs.Source
	}{
		{"a client of the same authority", "bad certificate", source(t, c.ca, c.ca.Client(t, "mallory.example"))},
		{"a node is no broker", "bad certificate", c.both("node.example")},
		{"another authority", "unknown authority", source(t, other, other.Client(t, "broker.example"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := engine.Connect(t.Context(), engine.ClusterConfig{URLs: c.urls[:1], Certs: test.src, Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				e.Close()
				t.Fatal("it got in")
			}
			if !strings.Contains(err.Error(), test.want) && !strings.Contains(err.Error(), "reset") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	t.Run("a node under another name", func(t *testing.T) {
		e, err := engine.Connect(t.Context(), engine.ClusterConfig{URLs: []string{strings.Replace(c.urls[0], "localhost", "127.0.0.1", 1)}, Certs: source(t, c.ca, c.ca.Client(t, "broker.example"))})
		if err == nil {
			e.Close()
			t.Fatal("it was believed")
		}
		if !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no role", func(t *testing.T) {
		config := c.config(0)
		config.Dir, config.Name, config.Listen, config.RouteListen = t.TempDir(), "rogue", "127.0.0.1:0", "127.0.0.1:0"
		config.Certs, config.Nodes = c.both("mallory.example"), append(config.Nodes, "dns:mallory.example")
		rogue, err := engine.StartNode(config)
		if err != nil {
			t.Fatal(err)
		}
		defer rogue.Kill()
		time.Sleep(2 * time.Second) // it tries each second
		if after := c.nodes[0].Status(t.Context()).Nodes; slices.Contains(after, "rogue") {
			t.Errorf("it has joined: %v", after)
		}
	})
	t.Run("plaintext", func(t *testing.T) {
		for _, address := range []string{c.ports[0], strings.TrimPrefix(c.urls[0], "nats://")} {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			fmt.Fprint(conn, "CONNECT {}\r\nPING\r\n")
			answer := make([]byte, 100)
			n, _ := conn.Read(answer)
			if strings.Contains(string(answer[:n]), "INFO") {
				t.Errorf("%s spoke in the clear: %q", address, answer[:n])
			}
		}
	})
	t.Run("no certificate", func(t *testing.T) {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(c.urls[0], "nats://"), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			defer conn.Close()
			_, err = conn.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRefusedNodes(t *testing.T) {
	ca := testca.New(t)
	good := engine.NodeConfig{
		Dir: t.TempDir(), Cluster: "test", Listen: "127.0.0.1:0", RouteListen: "127.0.0.1:0",
		Certs: both(t, ca, "node.example"), Nodes: []string{"dns:node.example"}, Brokers: []string{"dns:broker.example"},
	}
	for _, test := range []struct {
		name, want string
		change     func(*engine.NodeConfig)
	}{
		{"no directory", "Dir is empty", func(c *engine.NodeConfig) { c.Dir = "" }},
		{"no cluster", "Cluster is empty", func(c *engine.NodeConfig) { c.Cluster = "" }},
		{"no certificate", "Certs is nil", func(c *engine.NodeConfig) { c.Certs = nil }},
		{"no nodes", "Nodes is empty", func(c *engine.NodeConfig) { c.Nodes = nil }},
		{"no brokers", "Brokers is empty", func(c *engine.NodeConfig) { c.Brokers = nil }},
		{"no port", `Listen is "localhost"`, func(c *engine.NodeConfig) { c.Listen = "localhost" }},
		{"no route port", "RouteListen", func(c *engine.NodeConfig) { c.RouteListen = "localhost:x" }},
		{"a wrong route", `route "x"`, func(c *engine.NodeConfig) { c.Routes = []string{"x"} }},
		{"a wrong principal", "is not a principal", func(c *engine.NodeConfig) { c.Nodes = []string{"node"} }},
		{"a client's certificate", "purpose", func(c *engine.NodeConfig) { c.Certs = source(t, ca, ca.Client(t, "node.example")) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.change(&c)
			n, err := engine.StartNode(c)
			if err == nil {
				n.Kill()
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestRefusedClusters(t *testing.T) {
	ca := testca.New(t)
	src := source(t, ca, ca.Client(t, "broker.example"))
	for _, test := range []struct {
		name, want string
		config     engine.ClusterConfig
	}{
		{"no URLs", "URLs is empty", engine.ClusterConfig{Certs: src}},
		{"no certificate", "Certs is nil", engine.ClusterConfig{URLs: []string{"nats://localhost"}}},
		{"a wrong scheme", `"http://localhost"`, engine.ClusterConfig{Certs: src, URLs: []string{"http://localhost"}}},
		{"a password", "want nats://HOST:PORT", engine.ClusterConfig{Certs: src, URLs: []string{"nats://a:b@localhost"}}},
		{"two replicas", "2 replicas", engine.ClusterConfig{Certs: src, URLs: []string{"nats://localhost"}, Replicas: 2}},
		{"nobody there", "refused", engine.ClusterConfig{Certs: src, URLs: []string{"nats://" + freePort(t)}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := engine.Connect(t.Context(), test.config)
			if err == nil {
				e.Close()
				t.Fatal("it was accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
