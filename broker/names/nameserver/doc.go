// Package nameserver is the name server: an ordinary object on a daemon, over the engine.
//
//	e, err := engine.Open(ctx, engine.Config{Dir: dir})
//	ns, err := nameserver.New(ctx, nameserver.Config{Engine: e})
//	err = ns.Serve(daemon) // as Pyro.NameServer
//
// The daemon's Config.Errors must include names.Errors(nil).
//
// # What is kept where
//
// The bucket names holds a record for each name, and one for each member of a group; the
// bucket leases holds a lease for each daemon, with a time to live. A name is there when
// its record and its daemon's lease are: a daemon that dies takes all its names along
// within the lease's time. Both buckets are mirrored in memory, and lookups are answered
// from there: they go on while the engine cannot be reached, with what was known last.
// Registrations go through the engine and are compared and swapped there, so that a name
// has one owner whatever happens.
//
// # Rights
//
// The right to call a method of Pyro.NameServer is not enough. For each name the daemon's
// authorizer is asked about an object "name:" and the name, with these methods:
//
//	lookup    of a name
//	list      of "name:" and a prefix and a dot: everything below
//	watch     likewise
//	register  a name that is free, or whose daemon is gone; the owner's own changes too
//	join      a group that another has made
//	replace   another's record
//	remove    another's record
//	vouch     for a server identity that is none of the caller's own
//
// So rules speak of names as of objects: objects ["name:bank.*"], methods [lookup].
package nameserver
