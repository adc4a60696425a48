package validator

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Config says whom a Default lets in.
type Config struct {
	// Identities makes identities of certificates. Nil: a certificate must carry
	// exactly one URI, DNS or e-mail name.
	Identities *Mapper
	// Admit lists who may connect; one match is enough. Empty: nobody.
	Admit []Peer
	// AllowHosts lists the addresses ("192.0.2.1"), ranges ("192.0.2.0/24") and host
	// names from which connections are taken. Empty: from everywhere, since
	// certificates decide. IPv4 addresses that come as IPv6 are seen as IPv4.
	AllowHosts []string
	// DenyHosts lists addresses, ranges and host names from which none are taken,
	// even if AllowHosts has them. A name that could never be resolved denies
	// everybody until it can.
	DenyHosts []string
	// MaxConnections bounds the sessions that have got through all steps, Pyro's
	// PYRO_MAXCONNECTIONS. 0 means 200.
	MaxConnections int
	// MaxPerIdentity bounds the sessions of one identity. 0 means no bound but
	// MaxConnections: replicas of a service share an identity.
	MaxPerIdentity int
	// MaxPerAddress bounds the sessions from one IPv4 address, or from one IPv6
	// network of 64 bits, which one host can fill. 0 means no bound but
	// MaxConnections: those behind a NAT share an address.
	MaxPerAddress int
	// Resolver looks up the names in AllowHosts and DenyHosts. Nil means
	// net.DefaultResolver.
	Resolver Resolver
	// Iterations is the PBKDF2 work factor for identifications that are given to
	// SetAllowedIdentifications in the clear, 4096 to 2000000. 0 means 600000.
	Iterations int
	// Logger gets panics of validators. Nil means slog.Default.
	Logger *slog.Logger
}

// DefaultMaxConnections is what MaxConnections means when it is 0. It is Pyro's.
const DefaultMaxConnections = 200

// Default is the Validator to use and to embed. It is safe for concurrent use and
// must not be copied. The zero Default lets nobody in, and is what a client without
// needs of its own has.
type Default struct {
	identities atomic.Pointer[Mapper]
	admit      []Peer
	hosts      hosts
	sessions   sessions
	iterations int
	logger     *slog.Logger

	// allowed is what SetAllowedIdentifications has set; nil when it is off.
	allowed atomic.Pointer[identifications]

	// version counts the changes of identities and allowed.
	version atomic.Uint64

	// running counts the calls of custom validators that have not returned.
	running atomic.Int64

	mu      sync.Mutex
	clients map[Login]*clientKeys // passphrases that were stretched before
}

var _ Validator = (*Default)(nil)

// New checks a Config and makes a Default of it.
func New(c Config) (*Default, error) {
	d := &Default{iterations: c.Iterations, logger: c.Logger, admit: slices.Clone(c.Admit)}
	d.identities.Store(c.Identities)
	for i, p := range c.Admit {
		switch {
		case p.err != nil:
			return nil, failf("", "Config.Admit[%d]: %s", i, inner(p.err))
		case p.admits == nil:
			return nil, failf("AnyIdentity, Named, Role, PrincipalIs or IssuedBy", "Config.Admit[%d] is an empty Peer", i)
		}
	}
	resolver := c.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	var err error
	if d.hosts.allow, err = parseHosts("Config.AllowHosts", c.AllowHosts, resolver); err != nil {
		return nil, err
	}
	if d.hosts.deny, err = parseHosts("Config.DenyHosts", c.DenyHosts, resolver); err != nil {
		return nil, err
	}
	for _, limit := range []struct {
		name  string
		value int
	}{{"MaxConnections", c.MaxConnections}, {"MaxPerIdentity", c.MaxPerIdentity}, {"MaxPerAddress", c.MaxPerAddress}} {
		if limit.value < 0 {
			return nil, failf("0 for the default, or more", "Config.%s is %d", limit.name, limit.value)
		}
	}
	d.sessions.max, d.sessions.perIdentity, d.sessions.perAddress = c.MaxConnections, c.MaxPerIdentity, c.MaxPerAddress
	if c.Iterations != 0 {
		if err := checkIterations(c.Iterations); err != nil {
			return nil, failf("", "Config.Iterations: %s", inner(err))
		}
	}
	return d, nil
}

func (d *Default) base() *Default { return d }

// SetIdentities replaces the mapping rules; nil means that a certificate's only name
// counts. A daemon ends the sessions whose identity is another one now, or none.
func (d *Default) SetIdentities(m *Mapper) {
	d.identities.Store(m)
	d.version.Add(1)
}

// AcceptHost refuses addresses by Config.AllowHosts and DenyHosts.
func (d *Default) AcceptHost(ctx context.Context, addr netip.Addr) error {
	return d.hosts.check(ctx, addr)
}

// CheckCertificate refuses whoever is not in Config.Admit.
func (d *Default) CheckCertificate(_ context.Context, id Identity, _ *x509.Certificate) error {
	for _, p := range d.admit {
		if p.admits(&id) {
			return nil
		}
	}
	denial := &Denial{Code: DeniedSecurity, Check: CheckAdmission, Got: plain(id.Name), Want: "an identity or role that the daemon admits"}
	if len(d.admit) == 0 {
		denial.Want = "a daemon that admits somebody; the Config.Admit of its validator is empty"
	}
	return denial
}

func (d *Default) log() *slog.Logger {
	if d.logger != nil {
		return d.logger
	}
	return slog.Default()
}
