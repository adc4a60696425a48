package main

import (
	"errors"
	"io/fs"

	"github.com/pyrossl/pyrossl/validator"
	"github.com/pyrossl/pyrossl/validator/rulefile"
)

// readRules reads who is who and who may call what. Whoever the CAs vouch for and
// the identities name may connect; what they may call is for the policy.
func (p *plan) readRules(s settings) error {
	rules, err := rulefile.LoadRules(s.Policy)
	if err != nil {
		return ruleError(err)
	}
	authorizer, err := validator.NewRules(rules...)
	if err != nil {
		return err
	}
	mapper, err := readIdentities(s)
	if err != nil {
		return err
	}
	v, err := validator.New(validator.Config{
		Identities: mapper, Admit: []validator.Peer{validator.AnyIdentity()}, MaxConnections: s.MaxConnections, Logger: p.log,
	})
	if err != nil {
		return err
	}
	p.config.Validator, p.config.Authorizer = v, authorizer
	p.reloadPolicy = func() error {
		// Both files are read before either counts.
		rules, err := rulefile.LoadRules(s.Policy)
		if err != nil {
			return err
		}
		mapper, err := readIdentities(s)
		if err != nil {
			return err
		}
		if err := authorizer.Replace(rules...); err != nil {
			return err
		}
		v.SetIdentities(mapper)
		return nil
	}
	return nil
}

// readIdentities reads the mapping rules: of their own file, or else of the policy,
// if it has any. Without any a certificate must carry exactly one name.
func readIdentities(s settings) (*validator.Mapper, error) {
	if s.Identities == "" {
		// The whole file was read as a policy: only a lack of identities can fail.
		identities, err := rulefile.LoadIdentities(s.Policy)
		if err != nil {
			return nil, nil
		}
		return validator.NewMapper(identities...)
	}
	identities, err := rulefile.LoadIdentities(s.Identities)
	if err != nil {
		return nil, ruleError(err)
	}
	// A rule that nobody reads could be the one that denies.
	if _, err := rulefile.LoadRules(s.Identities); err == nil && s.Identities != s.Policy {
		return nil, failed("move them to --policy, or pass the file to both flags", "identities %q also has rules, which would not be read", s.Identities)
	}
	return validator.NewMapper(identities...)
}

func ruleError(err error) error {
	hint := "the format: go doc github.com/pyrossl/pyrossl/validator/rulefile"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "check the name after --policy or --identities"
	}
	return failed(hint, "%w", err)
}
