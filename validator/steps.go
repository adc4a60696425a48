package validator

import (
	"context"
	"crypto/hmac"
	"crypto/x509"
	"net/netip"
	"slices"
)

// Steps runs the steps of a Validator in the way that makes an override able to
// refuse more and never less: the check of the embedded Default comes first, and a
// panic, a hang or an unknown error refuses. Daemons and clients use it; the zero
// Steps refuses everything.
type Steps struct {
	v      Validator
	base   *Default
	custom bool // v is not base itself
	trial  *trial
}

// trial is what is tried instead of what the Default has.
type trial struct{ identities *Mapper }

// StepsOf makes the Steps of v. It refuses nil, and a Validator whose embedded
// *Default is nil.
func StepsOf(v Validator) (s Steps, err error) {
	if v == nil {
		return Steps{}, failf("one from validator.New, or a type that embeds it", "the validator is nil")
	}
	// With a nil pointer inside, the promoted method panics.
	defer func() {
		if recover() != nil {
			s, err = Steps{}, nilDefault(v)
		}
	}()
	base := v.base()
	if base == nil {
		return Steps{}, nilDefault(v)
	}
	plain, ok := v.(*Default)
	return Steps{v: v, base: base, custom: !ok || plain != base}, nil
}

// WithIdentities gives steps that are the same but for the mapping rules: a daemon
// asks them whom it would accept by others. Nothing is changed.
func (s Steps) WithIdentities(m *Mapper) Steps {
	s.trial = &trial{m}
	return s
}

// mapper is what makes identities of certificates.
func (s Steps) mapper() *Mapper {
	if s.trial != nil {
		return s.trial.identities
	}
	return s.base.identities.Load()
}

func nilDefault(v Validator) error {
	return failf("one from validator.New", "the validator of type %T has a nil *validator.Default", v)
}

// AcceptHost runs the host rules, then the override.
func (s Steps) AcceptHost(ctx context.Context, addr netip.Addr) *Denial {
	addr = addr.Unmap().WithZone("")
	if d := s.own(ctx, CheckHost, func(b *Default) error { return b.AcceptHost(ctx, addr) }); d != nil {
		return d
	}
	return s.override(ctx, CheckHost, func() error { return s.v.AcceptHost(ctx, addr) })
}

// CheckCertificate maps the verified chain, leaf first and trust anchor last, to an
// identity, then runs the check of admission and the override. With a denial the
// identity is only good for a log; it may be empty.
func (s Steps) CheckCertificate(ctx context.Context, chain []*x509.Certificate) (Identity, *Denial) {
	var id Identity
	d := s.own(ctx, CheckIdentity, func(*Default) (err error) {
		id, err = s.mapper().Identify(chain)
		return err
	})
	if d != nil {
		return id, d
	}
	if d := s.own(ctx, CheckAdmission, func(b *Default) error { return b.CheckCertificate(ctx, id, chain[0]) }); d != nil {
		return id, d
	}
	own := id.clone()
	return id, s.override(ctx, CheckAdmission, func() error { return s.v.CheckCertificate(ctx, own, chain[0]) })
}

// Admit counts a session whose steps are done, and returns what ends it; that may
// be called more than once.
func (s Steps) Admit(id Identity, addr netip.Addr) (release func(), d *Denial) {
	if s.base == nil {
		return nil, noValidator(CheckBusy)
	}
	return s.base.sessions.take(&id, addr)
}

// Challenge begins the identification; nil means that none is asked for. While the
// Default has allowed identifications, an override cannot leave it out.
func (s Steps) Challenge(ctx context.Context, ex *Exchange) ([]byte, *Denial) {
	var challenge []byte
	d := s.exchange(ctx, ex, func(ex *Exchange) (err error) {
		challenge, err = s.v.CreateAuthChallenge(ctx, ex)
		return err
	})
	switch {
	case d != nil:
		return nil, d
	case challenge == nil && s.base.allowed.Load() != nil:
		return nil, &Denial{Code: DeniedSecurity, Check: CheckIdentification, Got: "no challenge from the daemon's validator",
			Want: "one, since it has allowed identifications"}
	case len(challenge) > MaxToken:
		return nil, tooLong(len(challenge))
	}
	return slices.Clone(challenge), nil
}

// AcceptIdentification takes a token. While the Default has allowed identifications,
// it must be the Default that accepts in the end, whatever an override says.
func (s Steps) AcceptIdentification(ctx context.Context, ex *Exchange, token []byte) (reply []byte, done bool, d *Denial) {
	if len(token) > MaxToken {
		return nil, false, tooLong(len(token))
	}
	// Not the named results: a step that is left behind may still write to these.
	var answer struct {
		reply []byte
		done  bool
	}
	token = slices.Clone(token)
	d = s.exchange(ctx, ex, func(ex *Exchange) (err error) {
		answer.reply, answer.done, err = s.v.AcceptIdentification(ctx, ex, token)
		return err
	})
	switch {
	case d != nil:
		return nil, false, d
	case len(answer.reply) > MaxToken:
		return nil, false, tooLong(len(answer.reply))
	}
	if want := s.base.allowed.Load(); answer.done && want != nil {
		if own, ok := ex.scram.(*serverScram); !ok || !own.proved || own.allowed != want {
			return nil, false, &Denial{Code: DeniedSecurity, Check: CheckIdentification, Got: "an identification that is not one of the daemon's allowed ones, or no longer",
				Want: "one that it allows"}
		}
	}
	return answer.reply, answer.done, nil
}

// Version changes when the Default's identities or allowed identifications do: then
// sessions that were accepted before must pass CheckCertificate and StillIdentified
// again.
func (s Steps) Version() uint64 {
	if s.base == nil {
		return 0
	}
	return s.base.version.Load()
}

// StillIdentified checks that the identification of a session is one that the Default
// still allows, or needs none.
func (s Steps) StillIdentified(ex *Exchange) *Denial {
	if s.base == nil {
		return noValidator(CheckIdentification)
	}
	allowed := s.base.allowed.Load()
	if allowed == nil {
		return nil
	}
	own, ok := ex.scram.(*serverScram)
	if !ok || !own.proved {
		return &Denial{Code: DeniedSecurity, Check: CheckIdentification, Got: "a session without an identification",
			Want: "one, which the daemon has come to ask for"}
	}
	for _, c := range allowed.of(own.user) {
		if hmac.Equal(c.StoredKey, own.stored) {
			return nil
		}
	}
	return &Denial{Code: DeniedSecurity, Check: CheckIdentification, Got: "an identification that was withdrawn",
		Want: "one that the daemon still allows"}
}

// MungeIdent is the client's first step: it checks what was set as identification.
func (s Steps) MungeIdent(ident any) (any, error) {
	var munged any
	d := s.contain(context.Background(), CheckIdentification, func() (err error) {
		munged, err = s.v.MungeIdent(ident)
		return err
	})
	if d != nil {
		return nil, causeOf(d)
	}
	return munged, nil
}

// CreateAuthToken is the client's answer to a challenge, and its check of the
// daemon's proof.
func (s Steps) CreateAuthToken(ctx context.Context, ex *Exchange, challenge []byte) ([]byte, error) {
	if len(challenge) > MaxToken {
		return nil, tooLong(len(challenge))
	}
	var token []byte
	challenge = slices.Clone(challenge)
	d := s.exchange(ctx, ex, func(ex *Exchange) (err error) {
		token, err = s.v.CreateAuthToken(ctx, ex, challenge)
		return err
	})
	if d == nil && len(token) > MaxToken {
		d = tooLong(len(token))
	}
	if d != nil {
		return nil, causeOf(d)
	}
	return token, nil
}

// causeOf gives the client's own error as it is: there is nothing to hide from
// whoever set the identification.
func causeOf(d *Denial) error {
	if d.Got == refusedText && d.Err != nil {
		return d.Err
	}
	return d
}

func tooLong(n int) *Denial {
	return &Denial{Code: DeniedSecurity, Check: CheckIdentification, Got: "an identification message that " + over(n, MaxToken, "bytes")}
}

// exchange runs a step of the identification on a copy of ex. A step that is left
// behind cannot write into what others read, and none can change who the peer is.
func (s Steps) exchange(ctx context.Context, ex *Exchange, step func(*Exchange) error) *Denial {
	if s.base == nil {
		return noValidator(CheckIdentification)
	}
	if ex == nil {
		return &Denial{Code: DeniedSecurity, Check: CheckIdentification, Got: "no exchange"}
	}
	own := *ex
	own.Identity = ex.Identity.clone()
	own.ChannelBinding = slices.Clone(ex.ChannelBinding)
	d := s.contain(ctx, CheckIdentification, func() error { return step(&own) })
	if d == nil {
		ex.User, ex.State, ex.scram = own.User, own.State, own.scram
	}
	return d
}

// clone copies what others could write through.
func (id Identity) clone() Identity {
	id.Roles, id.Principals = slices.Clone(id.Roles), slices.Clone(id.Principals)
	return id
}
