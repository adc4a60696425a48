package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs/ca"
	"github.com/pyrossl/pyrossl/validator"
)

// makeDevCertificates makes what ./pki lacks, and says what it made.
func (a *app) makeDevCertificates(s *settings) error {
	dev, err := ca.Dev(devDir)
	if err != nil {
		return err
	}
	if len(dev.Made) > 0 {
		var names []string
		for _, path := range dev.Made {
			names = append(names, filepath.Base(path))
		}
		a.say("made in %s: %s", devDir, strings.Join(names, ", "))
	}
	s.Cert, s.Key, s.CA = dev.ServerCert, dev.ServerKey, dev.CA
	return nil
}

// devRules let the two development certificates in: the client may do everything,
// the guest may look at the bank and use the echo.
func devRules(s settings, log *slog.Logger) (validator.Validator, validator.Authorizer, error) {
	v, err := validator.New(validator.Config{
		Admit: []validator.Peer{validator.Named(ca.DevClient), validator.Named(ca.DevGuest)}, MaxConnections: s.MaxConnections, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	rules, err := validator.NewRules(
		validator.Rule{Name: "developer", Effect: validator.Allow, Identities: []string{ca.DevClient}, Objects: []string{"*"}, Methods: []string{"*"}},
		validator.Rule{Name: "guest", Effect: validator.Allow, Identities: []string{ca.DevGuest}, Objects: []string{"bank"}, Methods: []string{"Accounts", "Balance"}},
		validator.Rule{Name: "guest-echo", Effect: validator.Allow, Identities: []string{ca.DevGuest}, Objects: []string{"echo"}, Methods: []string{"Echo"}},
	)
	return v, rules, err
}

// tryNext prints commands that work as they are.
func (a *app) tryNext(d *broker.Daemon, uris []string, took time.Duration) {
	daemon := strings.TrimSuffix(uris[0], "/"+broker.SelfName)
	program := invocation()
	a.say("ready in %v at %s, for this machine only", took.Round(time.Millisecond), daemon)
	for _, name := range []string{"PYROSSL_CERT", "PYROSSL_KEY", "PYROSSL_CA_CERT"} {
		if a.getenv(name) != "" {
			a.say("warning: %s is set: where it is, the commands below do not use the certificates in %s", name, devDir)
		}
	}
	a.say("try these in another shell, in this directory; the last is refused:")
	guest := fmt.Sprintf("--cert %s --key %s", devGuestCert, devGuestKey)
	fmt.Fprintf(a.stderr, "\n  %s call %s/bank Deposit '\"alice\"' 100\n", program, daemon)
	fmt.Fprintf(a.stderr, "  %s whoami %s\n", program, daemon)
	fmt.Fprintf(a.stderr, "  %s status %s\n", program, daemon)
	fmt.Fprintf(a.stderr, "  %s call %s %s/bank Deposit '\"alice\"' 100  # refused\n\n", program, guest, daemon)
}
