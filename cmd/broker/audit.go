package main

import (
	"io"
	"log/slog"
	"os"
	"sync"
)

// toStdout is the name of stdout where a file could be named.
const toStdout = "-"

// auditLog is where decisions are written, one JSON object a line. slog drops errors
// of its writer: here the first one, and the end of the trouble, are told.
type auditLog struct {
	path string
	log  *slog.Logger // of the daemon, for what goes wrong here

	mu     sync.Mutex
	to     io.Writer
	file   *os.File // nil for stdout
	missed uint64   // lines since it last worked
}

// openAudit opens the audit log, or gives nil for none.
func (a *app) openAudit(path string, log *slog.Logger) (*auditLog, error) {
	if path == "" {
		return nil, nil
	}
	w := &auditLog{path: path, log: log, to: a.stdout}
	if path == toStdout {
		return w, nil
	}
	if err := w.open(); err != nil {
		return nil, failed("check the name after --audit, and whether this user may write there", "audit log: %w", err)
	}
	return w, nil
}

// logger is what the daemon writes to; nil for none.
func (w *auditLog) logger() *slog.Logger {
	if w == nil {
		return nil
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// open appends to the file. Others may not read it: it says who called what.
func (w *auditLog) open() error {
	f, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	w.file, w.to = f, f
	return nil
}

// reopen goes on in a new file, after the old one was moved away.
func (w *auditLog) reopen() error {
	if w == nil || w.path == toStdout {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	old := w.file
	if err := w.open(); err != nil {
		return err
	}
	return old.Close()
}

// Write writes one line.
func (w *auditLog) Write(line []byte) (int, error) {
	w.mu.Lock()
	n, err := w.to.Write(line)
	before := w.missed
	if err != nil {
		w.missed++
	} else {
		w.missed = 0
	}
	w.mu.Unlock()
	switch {
	case err != nil && before == 0:
		w.log.Error("audit log cannot be written, decisions are missing there", "file", w.path, "error", err)
	case err == nil && before > 0:
		w.log.Warn("audit log can be written again", "file", w.path, "missing", before)
	}
	return n, err
}

// close ends the log.
func (w *auditLog) close() {
	if w != nil && w.file != nil {
		w.file.Close()
	}
}
