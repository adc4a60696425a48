package ca

import (
	"crypto/x509"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// How long certificates are valid unless said otherwise.
const (
	LeafTTL         = 24 * time.Hour
	IntermediateTTL = 2 * 365 * 24 * time.Hour
	RootTTL         = 10 * 365 * 24 * time.Hour
)

// backdate is how far certificates begin in the past, for clocks that differ.
const backdate = time.Minute

// minTTL keeps the third of a life after which a certificate is renewed above what
// clocks differ by.
const minTTL = time.Minute

// maxNames is how many names a broker reads from a certificate.
const maxNames = 256

// Purpose is what a leaf may be used for, by the name that openssl and Go print.
type Purpose string

// The purposes. A certificate has those that were asked for and no others.
const (
	Server      Purpose = "serverAuth"  // proves a daemon to its clients
	Client      Purpose = "clientAuth"  // proves a client to daemons
	CodeSigning Purpose = "codeSigning" // signs code that others run
)

// purposes are all purposes in the order in which certificates list them.
var purposes = []struct {
	purpose Purpose
	usage   x509.ExtKeyUsage
}{
	{Server, x509.ExtKeyUsageServerAuth},
	{Client, x509.ExtKeyUsageClientAuth},
	{CodeSigning, x509.ExtKeyUsageCodeSigning},
}

// Request says what a leaf shall be.
type Request struct {
	// Name is the base of the file names, and the common name of the subject, which
	// proves nothing. ASCII letters, digits and "._@-".
	Name string
	// SANs are the names that the certificate proves, as kind:value with the kinds
	// dns, ip, uri and email, or the bare value of one. See [ParseSAN].
	SANs []string
	// Purposes is what it is for; at least one.
	Purposes []Purpose
	KeyType  KeyType       // zero is ECDSAP256
	TTL      time.Duration // how long it is valid from now; zero is LeafTTL
}

// canonical checks the request and gives it with defaults and canonical names.
func (r Request) canonical() (Request, error) {
	r, err := r.check()
	if err != nil {
		return Request{}, asRequest(err)
	}
	return r, nil
}

func (r Request) check() (Request, error) {
	if e := checkBase(r.Name); e != nil {
		return r, e
	}
	var err error
	if r.SANs, err = canonicalSANs(r.SANs); err != nil {
		return r, err
	}
	if r.Purposes, err = canonicalPurposes(r.Purposes); err != nil {
		return r, err
	}
	if slices.Contains(r.Purposes, Server) && !slices.ContainsFunc(r.SANs, isHost) {
		return r, mend(reasonf("a server's certificate needs a name that clients connect to, got %s", strings.Join(r.SANs, ", ")),
			"add a host name or an address, like dns:bank.example or ip:192.0.2.1")
	}
	if r.KeyType, err = ParseKeyType(string(r.KeyType)); err != nil {
		return r, err
	}
	if r.TTL == 0 {
		r.TTL = LeafTTL
	}
	if r.TTL < minTTL {
		return r, reasonf("a certificate cannot be valid for %v, want at least %v", r.TTL, minTTL)
	}
	// Certificates count in whole seconds.
	r.TTL = r.TTL.Truncate(time.Second)
	return r, nil
}

func isHost(san string) bool {
	return strings.HasPrefix(san, "dns:") || strings.HasPrefix(san, "ip:")
}

func canonicalSANs(sans []string) ([]string, error) {
	var all []string
	for _, s := range sans {
		san, err := ParseSAN(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, san) {
			all = append(all, san)
		}
	}
	switch {
	case len(all) == 0:
		return nil, reasonf("no name was asked for, want at least one of dns:, ip:, uri: and email:")
	case len(all) > maxNames:
		return nil, reasonf("%d names were asked for, want at most %d", len(all), maxNames)
	}
	return all, nil
}

func canonicalPurposes(asked []Purpose) ([]Purpose, error) {
	var all []Purpose
	for _, p := range purposes {
		if slices.Contains(asked, p.purpose) {
			all = append(all, p.purpose)
		}
	}
	for _, p := range asked {
		if !slices.Contains(all, p) {
			return nil, reasonf("unknown purpose %q, want %s, %s or %s", p, Server, Client, CodeSigning)
		}
	}
	if len(all) == 0 {
		return nil, reasonf("no purpose was asked for, want at least one of %s, %s and %s", Server, Client, CodeSigning)
	}
	return all, nil
}

// maxBase keeps Name within ub-common-name of RFC 5280, appendix A.1.
const maxBase = 64

// checkBase checks the base of file names.
func checkBase(name string) *failure {
	switch {
	case name == "":
		return reasonf("no name was given for the files")
	case len(name) > maxBase:
		return mend(reasonf("name %q has %d characters, want at most %d", name[:maxBase]+"...", len(name), maxBase),
			"choose a shorter one; the names that the certificate proves may be longer")
	case slices.Contains(reserved, strings.ToLower(name)):
		return mend(reasonf("name %q is that of the CA's own files", name), "choose another one")
	case strings.Trim(name, nameChars) != "":
		return mend(reasonf(`name %q has other characters than ASCII letters, digits and "._@-", and files are named after it`, name), "choose another one; the names that the certificate proves are given apart")
	case strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.HasSuffix(name, "."):
		return mend(reasonf(`name %q begins with "." or "-", or ends with ".", and files are named after it`, name), "choose another one")
	case !filepath.IsLocal(name):
		return mend(reasonf("name %q cannot be that of a file", name), "choose another one")
	}
	return nil
}

const nameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-"

// reserved are the bases of the files that the CA keeps for itself.
var reserved = []string{"root", "intermediate", "ca", "index"}
