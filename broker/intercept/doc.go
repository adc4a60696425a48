// Package intercept has interceptors for daemons and clients: a log of calls, limits, and
// metrics.
//
//	rate, err := intercept.Rate(intercept.RateConfig{PerSecond: 50})
//	metrics, err := intercept.NewMetrics(intercept.MetricsConfig{})
//	d, err := broker.NewDaemon(broker.Config{
//		...
//		Interceptors: []broker.Interceptor{intercept.Log(logger), metrics.Intercept, rate},
//	})
//
// The first one is outermost: in this order, calls that the limit refuses are logged and
// counted too. Each may also stand on a client, in ClientConfig.Interceptors or, for what
// daemons call of its callbacks, in ClientConfig.CallbackInterceptors.
//
// On a daemon they see calls that were authorized, of methods that exist. What was denied
// before that is in the daemon's own log and in [broker.Daemon.WriteMetrics].
//
// # Security considerations
//
// None of them sees arguments or results, so none can log them. What they keep is
// bounded, whoever calls, and whatever names a caller makes up. Limits by identity
// rest on the identity that the certificate maps to, which nobody can choose; a limit by
// identity does not bound all callers together, so a daemon that many may call wants a
// limit by method as well.
package intercept
