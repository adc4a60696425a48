package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/broker/uri"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/examples/bank"
	"github.com/pyrossl/pyrossl/validator"
)

// plan is what serve has settled before it listens.
type plan struct {
	config       broker.Config
	source       *certs.FileSource
	log          *slog.Logger
	audit        *auditLog // nil for none
	metrics      string    // HOST:PORT, empty for none
	storage      storage
	rules        rules
	reloadPolicy func() error // nil when there is no file
}

// close ends what plan has begun.
func (p *plan) close() {
	p.source.Close()
	p.audit.close()
}

// defaultDrain is how long calls in flight may take at the end.
const defaultDrain = 10 * time.Second

// plan settles everything, so that a daemon that starts is one that can serve.
func (a *app) plan(f *serveFlags) (*plan, error) {
	env, err := a.environment()
	if err != nil {
		return nil, err
	}
	s, err := a.settle(f, fromEnvironment(env))
	if err != nil {
		return nil, err
	}
	level, err := s.level()
	if err != nil {
		return nil, err
	}
	log := a.serverLog(f.json, level)
	for _, note := range env.Ignored {
		log.Warn(note.String())
	}
	host, port, err := splitPublish(s.Publish)
	if err != nil {
		return nil, err
	}
	p := &plan{log: log, config: broker.Config{
		Addr: s.Listen, PublishHost: host, PublishPort: port, DrainTimeout: s.Drain,
		MaxHandshakes: s.MaxHandshakes, HandshakeTimeout: s.HandshakeTimeout, Limits: broker.Limits{MessageBytes: s.MaxMessage},
		Errors: names.Errors(bank.Errors), Logger: log, Record: s.Record,
	}, metrics: s.Metrics, storage: s.storage}
	if f.dev {
		p.config.Validator, p.config.Authorizer, err = devRules(s, log)
	} else {
		err = p.readRules(s)
	}
	if err != nil {
		return nil, err
	}
	if p.audit, err = a.openAudit(s.Audit, log); err != nil {
		return nil, err
	}
	p.config.Audit = p.audit.logger()
	p.source, err = certs.Files(s.lists.files(certs.FilesConfig{
		Cert: s.Cert, Key: s.Key, CA: s.CA, Purpose: certs.ServerAuth, Report: certificateReport(log),
	}))
	if err != nil {
		p.audit.close()
		return nil, s.lists.explain(err)
	}
	p.config.Certs = p.source
	reportLists(log, p.source.Status())
	p.warnOfNames()
	return p, nil
}

// warnOfNames says in the log what the rules leave open.
func (p *plan) warnOfNames() {
	if text := p.rules.namesWarning(len(p.source.Current().Roots)); text != "" {
		p.log.Warn(text)
	}
}

// settle puts the settings together and reports what is missing.
func (a *app) settle(f *serveFlags, env settings) (settings, error) {
	if f.dev {
		return a.settleDev(f, env)
	}
	s := f.settings.over(env)
	if f.config != "" {
		file, err := readConfig(f.config)
		if err != nil {
			return s, err
		}
		s = s.over(file)
	}
	s = s.over(settings{Listen: ":" + strconv.Itoa(uri.DefaultPort), Drain: defaultDrain})
	for _, need := range []struct{ value, flag, variable, what string }{
		{s.Cert, "--cert", "PYROSSL_CERT", "certificate"},
		{s.Key, "--key", "PYROSSL_KEY", "private key"},
		{s.CA, "--ca", "PYROSSL_CA_CERT", "CA whose clients may connect"},
	} {
		if need.value == "" {
			return s, wrongUsage(fmt.Sprintf("pass %s FILE or set %s; mkcerts issue makes one; or try broker serve --dev", need.flag, need.variable), "no %s", need.what)
		}
	}
	if s.Policy == "" {
		return s, wrongUsage("pass --policy FILE: its format is that of package validator/rulefile; or try broker serve --dev", "no rule says who may call what")
	}
	if err := s.storage.check(); err != nil {
		return s, err
	}
	return s, s.lists.check()
}

// settleDev is settle for --dev, which brings everything but the address.
func (a *app) settleDev(f *serveFlags, env settings) (s settings, err error) {
	given := map[string]string{
		"--cert": f.Cert, "--key": f.Key, "--ca": f.CA, "--identities": f.Identities, "--policy": f.Policy,
		"--publish": f.Publish, "--config": f.config,
	}
	for _, flag := range []string{"--config", "--cert", "--key", "--ca", "--identities", "--policy", "--publish"} {
		if given[flag] != "" {
			return s, wrongUsage("leave out "+flag+", or leave out --dev and pass --cert, --key, --ca and --policy", "--dev brings its own certificates and rules, and takes no %s", flag)
		}
	}
	s = f.settings.over(env).over(settings{
		Listen: net.JoinHostPort("127.0.0.1", strconv.Itoa(uri.DefaultPort)), Drain: defaultDrain,
	})
	if s.Listen, err = loopback(s.Listen); err != nil {
		return s, err
	}
	if err := s.lists.check(); err != nil {
		return s, err
	}
	if err := s.storage.check(); err != nil {
		return s, err
	}
	s.Publish = "localhost"
	err = a.makeDevCertificates(&s)
	return s, err
}

// loopback refuses addresses that other machines could reach. A name is not looked
// up: only localhost is known to stay here.
func loopback(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", wrongUsage("for example --listen 127.0.0.1:7766", "--listen %q is not HOST:PORT", listen)
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port), nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return listen, nil
	}
	return "", wrongUsage("use --listen 127.0.0.1:PORT, or leave out --dev and pass --cert, --key, --ca and --policy",
		"--dev listens on this machine only, and %q is not loopback", listen)
}

// splitPublish takes HOST:PORT, and HOST for the port that is listened on.
func splitPublish(publish string) (host string, port int, err error) {
	if publish == "" {
		return "", 0, nil
	}
	host, digits, err := net.SplitHostPort(publish)
	if err != nil {
		return strings.Trim(publish, "[]"), 0, nil
	}
	if port, err = strconv.Atoi(digits); err != nil || port < 1 || port > 65535 {
		return "", 0, wrongUsage("for example --publish broker.example:7766", "port %q in --publish is not 1–65535", digits)
	}
	return host, port, nil
}

// explainStart gives hints for what can go wrong when a daemon is made.
func explainStart(err error) error {
	if strings.Contains(err.Error(), "does not cover") {
		return failed("pass --publish HOST:PORT with a host that the certificate names: mkcerts inspect FILE", "%w", err)
	}
	return err
}

// export registers what serve offers, and returns the URIs of everything.
func export(d *broker.Daemon, dev bool) ([]string, error) {
	echo, err := d.Register("echo", Echo{}, broker.IdempotentMethods("Echo"))
	if err != nil {
		return nil, err
	}
	self := echo
	self.Object = broker.SelfName
	uris := []string{self.String()}
	if dev {
		u, err := d.Register("bank", bank.New("alice", "bob"), broker.IdempotentMethods(bank.Idempotent...))
		if err != nil {
			return nil, err
		}
		uris = append(uris, u.String())
	}
	return append(uris, echo.String()), nil
}

var _ validator.Authorizer = (*validator.Rules)(nil)
