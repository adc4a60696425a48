package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/pyrossl/pyrossl/validator"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

// rules are who is who and who may call what.
type rules struct {
	calls      []validator.Rule
	identities []validator.MapRule // none: a certificate must carry exactly one name
}

// mapper makes a mapper of the identities, nil if there are none.
func (r rules) mapper() (*validator.Mapper, error) {
	if len(r.identities) == 0 {
		return nil, nil
	}
	return validator.NewMapper(r.identities...)
}

// loadRules reads the files of rules.
func loadRules(s settings) (r rules, err error) {
	if r.calls, err = rulefile.LoadRules(s.Policy); err != nil {
		return r, ruleError(err)
	}
	r.identities, err = loadIdentities(s)
	return r, err
}

// loadIdentities reads the mapping rules: of their own file, or else of the policy,
// if it has any.
func loadIdentities(s settings) ([]validator.MapRule, error) {
	if s.Identities == "" {
		// The whole file was read as a policy: only a lack of identities can fail.
		identities, err := rulefile.LoadIdentities(s.Policy)
		if err != nil {
			return nil, nil
		}
		return identities, nil
	}
	identities, err := rulefile.LoadIdentities(s.Identities)
	if err != nil {
		return nil, ruleError(err)
	}
	// A rule that nobody reads could be the one that denies.
	if _, err := rulefile.LoadRules(s.Identities); err == nil && s.Identities != s.Policy {
		return nil, failed("move them to --policy, or pass the file to both flags", "identities %q also has rules, which would not be read", s.Identities)
	}
	return identities, nil
}

// readRules makes what decides of the files. Whoever the CAs vouch for and the
// identities name may connect; what they may call is for the policy.
func (p *plan) readRules(s settings) error {
	read, err := loadRules(s)
	if err != nil {
		return err
	}
	authorizer, err := validator.NewRules(read.calls...)
	if err != nil {
		return err
	}
	mapper, err := read.mapper()
	if err != nil {
		return err
	}
	v, err := validator.New(validator.Config{
		Identities: mapper, Admit: []validator.Peer{validator.AnyIdentity()}, MaxConnections: s.MaxConnections, Logger: p.log,
	})
	if err != nil {
		return err
	}
	p.config.Validator, p.config.Authorizer, p.rules = v, authorizer, read
	p.reloadPolicy = func() error {
		// Both files are read before either counts.
		next, err := loadRules(s)
		if err != nil {
			return err
		}
		mapper, err := next.mapper()
		if err != nil {
			return err
		}
		if err := authorizer.Replace(next.calls...); err != nil {
			return err
		}
		v.SetIdentities(mapper)
		p.rules = next
		return nil
	}
	return nil
}

func ruleError(err error) error {
	hint := "the format: go doc github.com/pyrossl/pyrossl/validator/rulefile"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "check the name after --policy or --identities"
	}
	return failed(hint, "%w", err)
}

// namesWarning says that names are not tied to who vouches for them: each of several
// CAs could issue any name. It is empty when there is nothing to say.
func (r rules) namesWarning(roots int) string {
	pinned := !slices.ContainsFunc(r.calls, func(r validator.Rule) bool { return r.Effect == validator.Allow && len(r.Issuers) == 0 })
	var loose []string
	for _, m := range r.identities {
		if m.Issuer == "" {
			loose = append(loose, m.Name)
		}
	}
	switch {
	case roots < 2 || pinned || len(r.identities) > 0 && len(loose) == 0:
		return ""
	case len(r.identities) == 0:
		return fmt.Sprintf("%d CAs are trusted, and each can vouch for every name: mapping rules with issuer (--identities FILE) would say which one for whom", roots)
	}
	return fmt.Sprintf("%d CAs are trusted, and each can vouch for the names that these mapping rules match, which pin no issuer: %s", roots, shorten(strings.Join(loose, ", "), 200))
}
