// Package ca makes certificates: a root, an intermediate that it signs, and leaves
// for programs that the intermediate signs. It is a CA of files, for development
// and for small sites; command mkcerts and "broker serve --dev" are built on it.
//
// [Ensure] is what most programs need: it makes the CA when there is none, issues
// the certificate that was asked for, and the next time finds it up to date. [Dev]
// does that for the three certificates of a development broker. [Create], [Open] and
// [New] give a [CA] to work with, the last one without files.
//
// # What it refuses
//
// Names that a broker would not take for an identity: wildcards, control characters,
// URIs with percent-encoding, user info, port or query. Certificates without a
// purpose: none is added by default. Leaves that outlive their CA. Names that a
// constrained CA may not sign. To overwrite a file unless asked to.
//
// # Security considerations
//
// Whoever can read intermediate.key can be anybody to everyone who trusts ca.crt.
// Keys are created with mode 0600, and Options.Passphrase encrypts those of the CA.
// root.key signs nothing more once the CA is made, and may be kept elsewhere. A CA
// with Options.Permit is good for the names that it lists and for no others, of any
// kind: kinds of names that the list leaves out are closed too.
package ca
