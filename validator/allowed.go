package validator

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"github.com/xdg-go/scram"
)

// maxNameless bounds the passphrases without a name, each of which costs a few
// microseconds in every identification.
const maxNameless = 64

// identifications are those that are allowed at one time. They never change.
type identifications struct {
	named    map[string]scram.StoredCredentials
	nameless []scram.StoredCredentials // all with the same salt and iterations
	shapes   []shape                   // of the named ones, for names that nobody has
}

// shape is what a stranger sees of stored keys.
type shape struct{ salt, iterations int }

// SetAllowedIdentifications says what second factor is accepted, from now on: any
// of ids. Nil turns the second factor off, the certificate stays required. An empty,
// non-nil list accepts nobody. When there is an error, nothing has changed.
//
// A Passphrase or Login takes the time of Config.Iterations to be prepared here, and
// is not kept. A StoredIdent takes none. It may be called while the daemon runs, which
// then ends the sessions whose identification is not among ids.
func (d *Default) SetAllowedIdentifications(ids []Identification) error {
	if ids == nil {
		d.allowed.Store(nil)
		d.version.Add(1)
		return nil
	}
	iterations := d.iterations
	if iterations == 0 {
		iterations = defaultIterations
	}
	all, err := allow(ids, iterations)
	if err != nil {
		return err
	}
	d.allowed.Store(all)
	d.version.Add(1)
	return nil
}

func allow(ids []Identification, iterations int) (*identifications, error) {
	a := &identifications{named: make(map[string]scram.StoredCredentials)}
	// Stored ones first: passphrases without a name take over their salt.
	common := scram.KeyFactors{Salt: saltFor("", saltSize), Iters: iterations}
	first := true
	for _, id := range ids {
		s, ok := id.(StoredIdent)
		if !ok {
			continue
		}
		c, err := s.credentials()
		if err != nil {
			return nil, err
		}
		if s.name == "" {
			if first {
				common, first = c.KeyFactors, false
			} else if common != c.KeyFactors {
				return nil, failf("all of them from one call of Munge", "stored passphrases without a name have different salts, but a peer gets one")
			}
		}
		if err := a.add(s.name, c); err != nil {
			return nil, err
		}
	}
	for i, id := range ids {
		if _, ok := id.(StoredIdent); ok {
			continue
		}
		l, err := login(id)
		if err != nil {
			return nil, failf("", "allowed identification %d: %s", i+1, inner(err))
		}
		factors := common
		if l.Name != "" {
			factors = scram.KeyFactors{Salt: saltFor(l.Name, saltSize), Iters: iterations}
		}
		c, err := stretch(l, factors)
		if err != nil {
			return nil, failf("", "allowed identification %d: %s", i+1, inner(err))
		}
		if err := a.add(l.Name, c); err != nil {
			return nil, err
		}
	}
	for _, c := range a.named {
		a.shapes = append(a.shapes, shape{len(c.Salt), c.Iters})
	}
	slices.SortFunc(a.shapes, func(x, y shape) int { return 1000*(x.iterations-y.iterations) + x.salt - y.salt })
	if len(a.shapes) == 0 {
		a.shapes = []shape{{len(common.Salt), common.Iters}}
	}
	if len(a.nameless) == 0 {
		a.nameless = []scram.StoredCredentials{a.nobody("", scram.KeyFactors{Salt: saltFor("", saltSize), Iters: iterations})}
	}
	return a, nil
}

func (a *identifications) add(name string, c scram.StoredCredentials) error {
	if name != "" {
		if _, twice := a.named[name]; twice {
			return failf("one", "two allowed identifications are named %q", name)
		}
		a.named[name] = c
		return nil
	}
	if len(a.nameless) == maxNameless {
		return failf("at most 64; use validator.Login to tell peers apart", "too many passphrases without a name")
	}
	a.nameless = append(a.nameless, c)
	return nil
}

// of gives the keys to try for a name. A name that nobody has gets keys to which
// there is no passphrase, with a salt that stays the same, at the same cost.
func (a *identifications) of(name string) []scram.StoredCredentials {
	if name == "" {
		return a.nameless
	}
	pick := binary.BigEndian.Uint64([]byte(derive("shape", name)))
	s := a.shapes[pick%uint64(len(a.shapes))]
	c := a.nobody(name, scram.KeyFactors{Salt: saltFor(name, s.salt), Iters: s.iterations})
	if known, ok := a.named[name]; ok {
		c = known
	}
	return []scram.StoredCredentials{c}
}

// nobody makes keys that are the hash of nothing that is known.
func (*identifications) nobody(name string, kf scram.KeyFactors) scram.StoredCredentials {
	return scram.StoredCredentials{KeyFactors: kf, StoredKey: []byte(derive("stored", name)), ServerKey: []byte(derive("server", name))}
}

// processKey is what salts are derived from, so that those of names that exist
// look like those of names that do not. It is lost when the process ends.
var processKey = sync.OnceValue(func() []byte {
	key := make([]byte, 32)
	rand.Read(key) // never fails, by its documentation
	return key
})

func derive(use, name string) string {
	mac := hmac.New(sha256.New, processKey())
	mac.Write([]byte(use + "\x00" + name))
	return string(mac.Sum(nil))
}

// saltFor gives a name's salt, of at most 64 bytes.
func saltFor(name string, size int) string {
	s := derive("salt", name) + derive("salt, continued", name)
	return strings.Clone(s[:size])
}
