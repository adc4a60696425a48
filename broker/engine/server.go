package engine

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// options are those of an embedded server, and of a node but for its ports.
func options(c Config, dir *directory) *server.Options {
	o := &server.Options{
		ServerName: dir.ID, DontListen: true,
		NoSigs: true, // it would take SIGINT and SIGHUP, and call os.Exit
		NoLog:  false, NoSystemAccount: true,
		JetStream: true, StoreDir: dir.store(), DisableJetStreamBanner: true,
		JetStreamMaxStore: c.MaxStore, JetStreamMaxMemory: c.MaxMemory,
		SyncAlways: c.Sync == SyncAlways, SyncInterval: time.Duration(c.Sync),
	}
	if o.JetStreamMaxStore == 0 {
		o.JetStreamMaxStore = 8 << 30
	}
	if o.JetStreamMaxMemory == 0 {
		o.JetStreamMaxMemory = 256 << 20
	}
	return o
}

// start starts a server, and waits until it is ready.
func start(o *server.Options, log *serverLog) (*server.Server, error) {
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.SetLogger(log, false, false)
	s.Start()
	if !s.ReadyForConnections(startTime) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, notReady(log)
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, notReady(log)
	}
	return s, nil
}

// notReady says why a server did not start, as far as its log tells.
func notReady(log *serverLog) error {
	if last := log.lastError(); last != "" {
		return errors.New(last)
	}
	return fmt.Errorf("the engine did not start within %v", startTime)
}
