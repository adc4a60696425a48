// Package names is for programs that use a name server: what is registered, and a client
// for what broker.Client and broker.Daemon do not do by themselves.
//
//	c, err := broker.NewClient(broker.ClientConfig{Certs: src, Names: "PYROLOCSSL://ns.example:7767/Pyro.NameServer"})
//	bank, err := c.Proxy(ctx, "PYRONAME://bank.eu.accounts") // resolves by itself
//
//	ns, err := names.Connect(ctx, c)
//	page, err := ns.List(ctx, names.Query{Prefix: "bank", All: []string{"writable"}})
//	for change, err := range ns.Watch(ctx, "bank") { … }
//
// A name has levels with dots between them, as bank.eu.accounts; Pyro's :bank.eu.accounts
// is the same. Whoever registered it owns it: others need a right of their own to replace
// or remove it. Package names/nameserver is the server.
package names

import (
	"context"
	"errors"
	"iter"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/internal/naming"
)

// Object is the name of the object that a name server is.
const Object = naming.Object

type (
	// Record is what a name server knows of a name, or of one of a group's members.
	Record = naming.Record
	// Registration asks for a record.
	Registration = naming.Registration
	// Query selects records.
	Query = naming.Query
	// Page is an answer to a Query.
	Page = naming.Page
	// Change is what a watcher is told.
	Change = naming.Change
	// Lease is what keeps a daemon's names.
	Lease = naming.Lease
)

// Errors that a name server tells, for errors.Is.
var (
	ErrExists   = errors.New("names: the name is registered")
	ErrNotFound = errors.New("names: no such name")
	ErrChanged  = errors.New("names: the record has changed")
	ErrOwner    = errors.New("names: the record is another's")
	ErrGroup    = errors.New("names: one name cannot be a group and not")
)

// Errors joins errors by which names are told, and more, for Config.Errors of the daemon
// of a name server and ClientConfig.Errors of its clients.
func Errors(more broker.Errors) broker.Errors {
	all := broker.Errors{"names.exists": ErrExists, "names.not-found": ErrNotFound, "names.changed": ErrChanged, "names.owner": ErrOwner, "names.group": ErrGroup}
	for name, err := range more {
		all[name] = err
	}
	return all
}

// Client asks a name server. It is safe for concurrent use.
type Client struct{ proxy *broker.Proxy }

// Connect makes a client for the name server of the client's configuration.
func Connect(ctx context.Context, c *broker.Client) (*Client, error) {
	p, err := c.NameServer(ctx)
	if err != nil {
		return nil, err
	}
	return &Client{p}, nil
}

// New makes a client for the name server that p calls.
func New(p *broker.Proxy) *Client { return &Client{p} }

// Ping reports whether the name server works, the engine below it included.
func (c *Client) Ping(ctx context.Context) error { return c.proxy.Call(ctx, "Ping", nil) }

// Register makes a record, or replaces the one that Registration.Replace names. It fails
// with ErrExists if there is another.
func (c *Client) Register(ctx context.Context, r Registration) (Record, error) {
	var made Record
	err := c.proxy.Call(ctx, "Register", &made, r)
	return made, err
}

// Remove takes a name away, if its revision is the given one or 0.
func (c *Client) Remove(ctx context.Context, name string, revision uint64) error {
	return c.proxy.Call(ctx, "Remove", nil, name, revision)
}

// SetTags gives a record other tags, if its revision is the given one or 0.
func (c *Client) SetTags(ctx context.Context, name string, revision uint64, tags []string) (Record, error) {
	var changed Record
	err := c.proxy.Call(ctx, "SetTags", &changed, name, revision, tags)
	return changed, err
}

// Lookup returns the records of a name: several for a group. It fails with ErrNotFound if
// there is none.
func (c *Client) Lookup(ctx context.Context, name string) ([]Record, error) {
	var found []Record
	err := c.proxy.Call(ctx, "Lookup", &found, name)
	return found, err
}

// List returns the records that a query selects, a page of them.
func (c *Client) List(ctx context.Context, q Query) (Page, error) {
	var page Page
	err := c.proxy.Call(ctx, "List", &page, q)
	return page, err
}

// All ranges over the records that a query selects.
func (c *Client) All(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for {
			page, err := c.List(ctx, q)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for _, r := range page.Records {
				if !yield(r, nil) {
					return
				}
				q.After = r.Name
			}
			if !page.More {
				return
			}
		}
	}
}

// Watch ranges over a prefix's names as they are, and then as they change, until the loop
// ends. Of changes that follow each other quickly the last one is told.
func (c *Client) Watch(ctx context.Context, prefix string) iter.Seq2[Change, error] {
	return broker.Stream[Change](ctx, c.proxy, "Watch", prefix)
}
