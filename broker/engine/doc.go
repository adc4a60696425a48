// Package engine keeps what must last or must reach other brokers: the names and events of
// packages names and events. It is NATS JetStream, in one of three forms behind one type:
//
//	e, err := engine.Open(ctx, engine.Config{Dir: "/var/lib/pyrossl"})       // in this process
//	e, err := engine.Connect(ctx, engine.ClusterConfig{URLs: urls, Certs: src}) // a cluster elsewhere
//	n, err := engine.StartNode(ctx, engine.NodeConfig{...})                   // a node of such a cluster
//
// The embedded form listens on nothing, handles no signals, and holds a lock on its
// directory, which a second process is refused. Clients of a broker never speak to the
// engine.
//
// # What is promised
//
// With SyncAlways, the default, a write is on the disk before it is acknowledged: what was
// acknowledged survives the loss of the process and of power. With another [Sync] it
// survives the process only; what was written within that time before a power cut may be
// lost, and with it whole streams that were made shortly before.
//
// A directory that lacks a stream which was there before, because files were damaged or
// removed, is refused by [Open] with the stream's name: an empty one is never put in its
// place in silence.
//
// # Security considerations
//
// Links to and among the nodes of a cluster are mutual TLS 1.3, set by package certs. A
// node accepts only the principals that it was given: without that, any client
// certificate of the same authority could join as a node and read and write everything.
// Brokers are trusted by the cluster with all names and events.
package engine
