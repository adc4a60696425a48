// Package ca makes certificates: a root, an intermediate that it signs, and leaves
// for programs that the intermediate signs. It is a CA of files, for development
// and for small sites; command mkcerts and "broker serve --dev" are built on it.
//
// [Ensure] is what most programs need: it makes the CA when there is none, issues
// the certificate that was asked for, and the next time finds it up to date. [Dev]
// does that for the three certificates of a development broker. [Create], [Open] and
// [New] give a [CA] to work with, the last one without files.
//
// # The life of a CA
//
// [RenewLeaves] gives certificates another life in their places, and
// [RenewIntermediate] one to the CA. [Revoke] ends one before its time, by its serial
// number, its key or its names, and writes [CRLFile] and [DenyFile], which
// certs.FilesConfig takes as they are; [WriteCRLs] writes them anew before they are out
// of date. [RollAdd], [RollReissue] and [RollRemove] replace the CA by another one
// without a failed connection, if the trust files reach everybody between the steps.
// [List] and [Look] say what has become of certificates.
//
// All of them may be run again after they were cut short, and by several processes
// at once: they take a lock, replace each file at once, and write down what was decided
// before they do it. A directory is the whole state of a CA; whoever puts back an old
// copy of it loses certificates from the index, and revocations that were on no list.
//
// # What it refuses
//
// Names that a broker would not take for an identity: wildcards, control characters,
// URIs with percent-encoding, user info, port or query. Certificates without a
// purpose: none is added by default. Leaves that outlive their CA: they end with it.
// Names that a constrained CA may not sign, and names and keys that were revoked. To
// overwrite a file unless asked to. To remove a CA that certificates in use hang on.
//
// # Security considerations
//
// Whoever can read intermediate.key can be anybody to everyone who trusts ca.crt.
// Keys are created with mode 0600, and Options.Passphrase encrypts those of the CA.
// root.key is needed to renew the intermediate and to revoke it, and may be kept
// elsewhere until then. A CA with Options.Permit is good for the names that it lists
// and for no others, of any kind: kinds of names that the list leaves out are closed
// too.
package ca
