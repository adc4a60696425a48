package intercept

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// Log logs each call when it has ended, with the message "call" and these keys:
//
//	object, method   what was called
//	identity         who called; on the caller's side instead uri, what it called
//	kind             "ok", or the kind of its error as [broker.Kind] prints it
//	duration         how long it took; a stream takes as long as it flows
//	oneway           true, if it was a oneway call
//	correlation      the id of [broker.WithCorrelation], if there is one
//	incident         on the caller's side: what the daemon's log has it under
//
// The level is Info for calls that were answered, also with an application's error, or
// given up by their caller; Error for internal errors; Warn for all others. Neither
// arguments nor results nor the texts of errors, which may quote them, are logged. A nil
// logger is slog.Default, as it is when a call ends.
func Log(logger *slog.Logger) broker.Interceptor {
	return func(ctx context.Context, call *broker.CallInfo, next next) (err error) {
		begun, returned := time.Now(), false
		defer func() {
			to := logger
			if to == nil {
				to = slog.Default()
			}
			kind, text := outcome(call, err)
			if !returned { // a panic in an interceptor behind this one
				kind, text = broker.KindInternal, broker.KindInternal.String()
			}
			if level := levelOf(kind, text); to.Enabled(ctx, level) {
				to.LogAttrs(ctx, level, "call", attributes(ctx, call, err, text, time.Since(begun))...)
			}
		}()
		err = next(ctx)
		returned = true
		return err
	}
}

func levelOf(kind broker.Kind, text string) slog.Level {
	switch {
	case text == ok, kind == broker.KindApplication, kind == broker.KindCanceled:
		return slog.LevelInfo
	case kind == broker.KindInternal:
		return slog.LevelError
	}
	return slog.LevelWarn
}

func attributes(ctx context.Context, call *broker.CallInfo, err error, kind string, took time.Duration) []slog.Attr {
	all := make([]slog.Attr, 0, 8)
	all = append(all, slog.String("object", call.Object), slog.String("method", call.Method))
	if call.Peer != nil {
		all = append(all, slog.String("identity", call.Peer.Identity.Name))
	} else {
		all = append(all, slog.String("uri", call.URI))
	}
	all = append(all, slog.String("kind", kind), slog.Duration("duration", took))
	if call.Oneway {
		all = append(all, slog.Bool("oneway", true))
	}
	if id := broker.Correlation(ctx); id != "" {
		all = append(all, slog.String("correlation", id))
	}
	if id := incident(err); id != "" && !call.Incoming {
		all = append(all, slog.String("incident", id))
	}
	return all
}

func incident(err error) string {
	var failed *broker.Error
	var denied *broker.ConnectionDeniedError
	switch {
	case errors.As(err, &failed):
		return failed.Incident
	case errors.As(err, &denied):
		return denied.Incident
	}
	return ""
}
