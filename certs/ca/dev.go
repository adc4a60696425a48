package ca

import (
	"path/filepath"
	"time"
)

// The identities of the two clients that Dev makes, as a daemon without mapping
// rules derives them.
const (
	DevClient = "email:developer@localhost"
	DevGuest  = "email:guest@localhost"
)

// Development is what a development daemon and its clients need: paths.
type Development struct {
	CA                    string
	ServerCert, ServerKey string // for localhost
	ClientCert, ClientKey string // DevClient
	GuestCert, GuestKey   string // DevGuest
	// Made are the files that were not there before, or were about to expire.
	Made []string
}

// devTTL is longer than that of a service's certificate: a checkout that was left
// alone for a week still works.
const devTTL = 30 * 24 * time.Hour

// Dev sees to it that a directory has a development CA, a server's certificate for
// localhost and two clients'. What is good is kept.
func Dev(dir string) (Development, error) {
	var d Development
	for _, leaf := range []struct {
		r         Request
		cert, key *string
	}{
		{Request{Name: "server", SANs: []string{"dns:localhost", "ip:127.0.0.1", "ip:::1"}, Purposes: []Purpose{Server}, TTL: devTTL}, &d.ServerCert, &d.ServerKey},
		{Request{Name: "client", SANs: []string{DevClient}, Purposes: []Purpose{Client}, TTL: devTTL}, &d.ClientCert, &d.ClientKey},
		{Request{Name: "guest", SANs: []string{DevGuest}, Purposes: []Purpose{Client}, TTL: devTTL}, &d.GuestCert, &d.GuestKey},
	} {
		res, err := Ensure(dir, leaf.r, EnsureOptions{})
		if err != nil {
			return Development{}, err
		}
		d.CA, *leaf.cert, *leaf.key = res.CA, res.Cert, res.Key
		if res.MadeCA {
			for _, name := range []string{rootCert, rootKey, interCert, interKey, TrustFile} {
				d.Made = append(d.Made, filepath.Join(dir, name))
			}
		}
		if res.Action != UpToDate {
			d.Made = append(d.Made, res.Cert, res.Key)
		}
	}
	return d, nil
}
