package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
)

// printJSON writes one JSON document. It is indented when a person reads it.
func (a *app) printJSON(document []byte) error {
	var b bytes.Buffer
	if a.onTerminal() {
		if err := json.Indent(&b, document, "", "  "); err != nil {
			return err
		}
	} else {
		b.Write(document)
	}
	b.WriteByte('\n')
	_, err := a.stdout.Write(b.Bytes())
	return err
}

// printRecord writes a record: as JSON, or as lines of a name and a value. Lines
// without a value are left out.
func (a *app) printRecord(asJSON bool, record any, lines [][2]string) error {
	if asJSON {
		document, err := marshalJSON(record)
		if err != nil {
			return err
		}
		return a.printJSON(document)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(w, "%s\t%s\n", line[0], printable(line[1]))
		}
	}
	return w.Flush()
}

func (a *app) onTerminal() bool {
	f, ok := a.stdout.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// clientLog is the logger of a command that is over soon: one plain line for each
// warning, in the shape of the command's other messages.
func (a *app) clientLog() *slog.Logger { return slog.New(&lineHandler{to: a.stderr}) }

type lineHandler struct {
	to    io.Writer
	attrs []slog.Attr
}

func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	text := []string{r.Message}
	add := func(a slog.Attr) bool {
		text = append(text, strip(a.Value.String()))
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	_, err := fmt.Fprintf(h.to, "broker: warning: %s\n", printable(strings.Join(text, ": ")))
	return err
}

func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lineHandler{h.to, append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)}
}

func (h *lineHandler) WithGroup(string) slog.Handler { return h }
