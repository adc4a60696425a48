package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/validator"
)

// clientFlags are what every command has that connects to a daemon.
type clientFlags struct {
	files          files
	passphraseFile string
	login          string
	timeout        time.Duration
	json           bool
}

func (f *clientFlags) add(flags *pflag.FlagSet, timeout time.Duration) {
	f.files.add(flags, "your")
	flags.StringVar(&f.passphraseFile, "passphrase-file", "", "`FILE` with the passphrase of a second factor, - for stdin")
	flags.StringVar(&f.login, "login", "", "`NAME` that goes with the passphrase")
	flags.DurationVar(&f.timeout, "timeout", timeout, "time for everything, connecting included")
}

func (f *clientFlags) addJSON(flags *pflag.FlagSet) {
	flags.BoolVar(&f.json, "json", false, "print JSON")
}

// session is one command's client and what bounds it.
type session struct {
	ctx    context.Context
	client *broker.Client
	end    []func()
}

func (s *session) close() {
	s.client.Close()
	for _, end := range s.end {
		end()
	}
}

// connect makes a client of the flags. It ends with the timeout or a signal.
func (a *app) connect(c *cobra.Command, f *clientFlags) (*session, error) {
	return a.connectFor(c, f, true)
}

// connectFor is connect for a command whose whole time need not be bounded: the
// timeout is then for each call.
func (a *app) connectFor(c *cobra.Command, f *clientFlags, bounded bool) (*session, error) {
	if f.timeout <= 0 {
		return nil, wrongUsage("for example --timeout 10s", "--timeout %v, want a positive time", f.timeout)
	}
	paths, err := a.clientFiles(c.Flags(), f.files)
	if err != nil {
		return nil, err
	}
	material, err := certs.Load(paths.cert, paths.key, paths.ca)
	if err != nil {
		return nil, err
	}
	ident, err := a.identification(f)
	if err != nil {
		return nil, err
	}
	client, err := broker.NewClient(broker.ClientConfig{
		Certs: certs.Static(material), Identification: ident, Timeout: f.timeout, ConnectTimeout: f.timeout, Logger: a.clientLog(), Errors: names.Errors(nil),
	})
	if err != nil {
		return nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	s := &session{ctx: ctx, client: client, end: []func(){stop}}
	if bounded {
		var cancel context.CancelFunc
		s.ctx, cancel = context.WithTimeout(ctx, f.timeout)
		s.end = append(s.end, cancel)
	}
	return s, nil
}

// identification is the second factor, or nil.
func (a *app) identification(f *clientFlags) (any, error) {
	if f.passphraseFile == "" {
		if f.login != "" {
			return nil, wrongUsage("add --passphrase-file FILE", "--login %q without a passphrase", f.login)
		}
		return nil, nil
	}
	passphrase, err := a.readPassphrase(f.passphraseFile)
	if err != nil {
		return nil, err
	}
	if f.login != "" {
		return validator.Login{Name: f.login, Passphrase: validator.Passphrase(passphrase)}, nil
	}
	return validator.Passphrase(passphrase), nil
}

// maxPassphrase is more than anybody types, and keeps a wrong file from being read
// to its end.
const maxPassphrase = 1024

// readPassphrase reads the first line of a file.
func (a *app) readPassphrase(path string) (string, error) {
	in := a.stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", failed("check the name after --passphrase-file", "passphrase file: %w", err)
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
			return "", failed("chmod 600 "+shellQuote(path), "passphrase file %q has mode %04o, want 0600: others can read it", path, info.Mode().Perm())
		}
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxPassphrase+2))
	if err != nil {
		return "", failed("check the name after --passphrase-file", "passphrase file: %w", err)
	}
	line, rest, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case line == "":
		return "", failed("write the passphrase into its first line", "passphrase file %q has an empty first line", path)
	case len(line) > maxPassphrase:
		return "", failed("is that the right file?", "the first line of passphrase file %q is longer than %d bytes", path, maxPassphrase)
	case strings.TrimSpace(rest) != "":
		return "", failed("is that the right file?", "passphrase file %q has more than one line", path)
	}
	return line, nil
}

// selfURI makes of any URI of a daemon that of its object Pyro.Daemon. The object
// may be left out.
func selfURI(raw string) (string, error) {
	whole := raw
	if scheme, rest, ok := strings.Cut(raw, "://"); ok {
		address, query, pinned := strings.Cut(rest, "?")
		host, object, _ := strings.Cut(address, "/")
		if object == "" {
			whole = scheme + "://" + host + "/" + broker.SelfName
			if pinned {
				whole += "?" + query
			}
		}
	}
	u, err := uri.Parse(whole)
	if err != nil {
		return "", wrongURI(err)
	}
	u.Object = broker.SelfName
	return u.String(), nil
}

func wrongURI(err error) error {
	return &problem{err: err, hint: "a URI looks like PYROSSL://localhost:7766/bank", code: exitUsage}
}

// proxy makes a proxy for a URI that a user typed.
func (s *session) proxy(raw string) (*broker.Proxy, error) {
	if _, err := uri.Parse(raw); err != nil {
		return nil, wrongURI(err)
	}
	p, err := s.client.Proxy(s.ctx, raw)
	if err != nil {
		return nil, failed("give the object's PYROSSL:// URI", "%w", err)
	}
	return p, nil
}

// self makes a proxy for the daemon's own object.
func (s *session) self(raw string) (*broker.Proxy, error) {
	target, err := selfURI(raw)
	if err != nil {
		return nil, err
	}
	return s.proxy(target)
}

// isKind reports whether err is a failed call of this kind.
func isKind(err error, kind broker.Kind) bool { return errors.Is(err, kind) }

// ago prints a time for a person.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := time.Since(t).Round(time.Second)
	if d < 0 {
		return fmt.Sprintf("%s (in %v)", t.Format(time.RFC3339), -d)
	}
	return fmt.Sprintf("%s (%v ago)", t.Format(time.RFC3339), d)
}
