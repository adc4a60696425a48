package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"github.com/pyrossl/pyrossl/certs"
)

// choice is a yes or no that may not have been given at all, so that a flag can take
// back what a file says.
type choice struct{ given, yes bool }

var (
	_ pflag.Value      = (*choice)(nil)
	_ yaml.Unmarshaler = (*choice)(nil)
)

func (c *choice) Set(text string) error {
	switch text {
	case "true":
		*c = choice{true, true}
	case "false":
		*c = choice{true, false}
	default:
		return fmt.Errorf("%q is neither true nor false", text)
	}
	return nil
}

func (c *choice) String() string {
	if c.yes {
		return "true"
	}
	return ""
}

func (c *choice) Type() string { return "bool" }

// UnmarshalYAML reads a key of the settings file.
func (c *choice) UnmarshalYAML(n *yaml.Node) error {
	var yes bool
	if err := n.Decode(&yes); err != nil {
		return err
	}
	*c = choice{true, yes}
	return nil
}

// lists are the settings about who is not accepted any more.
type lists struct {
	CRL    []string      `yaml:"crl"`
	Deny   string        `yaml:"deny_list"`
	MaxAge time.Duration `yaml:"revocation_max_age"`
	All    choice        `yaml:"require_lists"`
	Stale  choice        `yaml:"insecure_allow_stale_lists"`
}

func (l *lists) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&l.CRL, "crl", nil, "`FILE` with revocation lists (repeatable)")
	flags.StringVar(&l.Deny, "deny-list", "", "`FILE` with your own list of who is refused")
	flags.DurationVar(&l.MaxAge, "revocation-max-age", 0, "`TIME` after which a CRL is stale in any case")
	flags.Var(&l.All, "require-lists", "every authority but the root needs a list")
	flags.Lookup("require-lists").NoOptDefVal = "true"
	flags.Var(&l.Stale, "insecure-allow-stale-lists", "let peers pass whose list is stale")
	flags.Lookup("insecure-allow-stale-lists").NoOptDefVal = "true"
}

func (l lists) over(below lists) lists {
	if len(l.CRL) == 0 {
		l.CRL = below.CRL
	}
	take(&l.Deny, below.Deny)
	take(&l.MaxAge, below.MaxAge)
	take(&l.All, below.All)
	take(&l.Stale, below.Stale)
	return l
}

// check refuses settings that would do nothing: whoever makes them expects otherwise.
func (l lists) check() error {
	const hint = "add --crl FILE, or leave it out"
	switch {
	case l.MaxAge < 0:
		return wrongUsage("for example --revocation-max-age 24h", "--revocation-max-age %v, want a positive time", l.MaxAge)
	case l.MaxAge > 0 && len(l.CRL) == 0:
		return wrongUsage(hint+"; a deny list says max-age itself", "--revocation-max-age without a revocation list")
	case l.All.yes && len(l.CRL) == 0:
		return wrongUsage(hint, "--require-lists without a revocation list")
	case l.Stale.yes && len(l.CRL) == 0 && l.Deny == "":
		return wrongUsage("add --crl FILE or --deny-list FILE, or leave it out", "--insecure-allow-stale-lists without a list")
	}
	return nil
}

// files completes the configuration of a source.
func (l lists) files(c certs.FilesConfig) certs.FilesConfig {
	c.CRLs, c.DenyList, c.RevocationMaxAge, c.InsecureAllowStaleLists = l.CRL, l.Deny, l.MaxAge, l.Stale.yes
	if l.All.yes {
		c.RequireLists = certs.RequireAllLists
	}
	return c
}

// explain gives an error about a list its own way out.
func (l lists) explain(err error) error {
	var e *certs.Error
	if errors.As(err, &e) && e.Fix == "" && e.File != "" && (e.File == l.Deny || slices.Contains(l.CRL, e.File)) {
		return failed("docs/operations.md shows what lists look like", "%w", err)
	}
	return err
}

// certificateReport logs what the files' source does by itself: a reload, and a list
// that became stale or fresh although no file has changed.
func certificateReport(log *slog.Logger) func(certs.Status) {
	var generation uint64
	var lastError string
	return func(s certs.Status) {
		switch {
		case s.LastError != "" && s.LastError != lastError:
			log.Error("certificate files or lists cannot be used, the last good ones are", "error", s.LastError)
		case s.LastError == "" && (s.Generation != generation || lastError != ""):
			log.Info("certificate files changed", "generation", s.Generation, "not_after", s.NotAfter.UTC())
		}
		generation, lastError = s.Generation, s.LastError
		reportLists(log, s)
	}
}

// reportLists logs what is wrong with the lists.
func reportLists(log *slog.Logger, s certs.Status) {
	if s.OwnRevoked != "" {
		log.Error("our own certificate is revoked: others will refuse it", "got", s.OwnRevoked)
	}
	for _, l := range s.Lists {
		if !l.Stale || l.Superseded {
			continue
		}
		attrs := []any{"file", l.File, "number", l.Number, "stale_from", l.StaleFrom.UTC()}
		if l.Issuer != "" {
			attrs = append(attrs, "issuer", l.Issuer)
		}
		if s.StaleListsPass {
			log.Warn("INSECURE: list is stale, and peers pass nevertheless", attrs...)
		} else {
			log.Error("list is stale: those whom it should vouch for are refused", attrs...)
		}
	}
}
