// Package maxclients shows a server that takes so many connections and no more, and a
// client that makes room. PYRO_MAXCONNECTIONS says how many.
package maxclients
