package main

import (
	"net"
	"strconv"

	"github.com/pyrossl/pyrossl/broker/pyroenv"
)

// environment reads Pyro's variables. One that cannot be read, or asks for what is
// unsafe, is an error for every command.
func (a *app) environment() (pyroenv.Settings, error) {
	env, err := pyroenv.Parse(a.environ)
	if err != nil {
		return env, &problem{err: err, hint: "change or unset it; env | grep ^PYRO shows what is set", code: exitUsage}
	}
	return env, nil
}

// fromEnvironment are the settings that variables stand for.
func fromEnvironment(env pyroenv.Settings) settings {
	s := settings{
		Listen: env.Addr(), Cert: env.Cert, Key: env.Key, CA: env.CA,
		MaxConnections: env.MaxConnections, MaxHandshakes: env.MaxHalfOpen,
		HandshakeTimeout: env.HandshakeTimeout, MaxMessage: env.MaxMessage,
	}
	switch {
	case env.PublishPort != 0:
		s.Publish = net.JoinHostPort(env.PublishHost, strconv.Itoa(int(env.PublishPort)))
	default:
		s.Publish = env.PublishHost
	}
	if env.IsSet("PYRO_TRACELEVEL") {
		s.LogLevel = env.LogLevel().String()
	}
	return s
}
