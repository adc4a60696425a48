package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/validator"
)

func TestIncidentOf(t *testing.T) {
	for _, text := range []string{"7QX2-M4P0", "7qx2-m4p0", " 7QX2-M4PO ", "[incident 7QX2-M4P0]", "Incident 7qx2-m4po"} {
		if id, ok := incidentOf(text); !ok || id != "7QX2-M4P0" {
			t.Errorf("%q is %q, %v", text, id, ok)
		}
	}
	for _, text := range []string{"", "7QX2", "7QX2M4P0", "7QX2-M4P", "7QX2-M4PDD", "7QU2-M4P0", "PYROSSL://localhost/bank", "7QX2-M4P0\n7QX2-M4P0", "7QX2-M4Pß"} {
		if id, ok := incidentOf(text); ok {
			t.Errorf("%q is taken for %q", text, id)
		}
	}
}

func TestIncidentFilter(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	all := []broker.Incident{ // the last one first
		{ID: "4", Time: now.Add(-time.Minute), Check: "revocation", Code: validator.DeniedSecurity.String()},
		{ID: "3", Time: now.Add(-time.Hour), Check: "busy", Code: validator.DeniedServerTooBusy.String()},
		{ID: "2", Time: now.Add(-2 * time.Hour), Check: "chain", Code: validator.DeniedSecurity.String()},
		{ID: "1", Time: now.Add(-3 * time.Hour), Event: "call denied"},
	}
	for _, test := range []struct {
		filter incidentFilter
		want   string
	}{
		{incidentFilter{limit: 9}, "4321"},
		{incidentFilter{limit: 2}, "43"},
		{incidentFilter{limit: 9, since: "61m"}, "43"},
		{incidentFilter{limit: 9, since: "2026-01-02T13:00:00Z"}, "432"},
		{incidentFilter{limit: 9, check: "CHAIN"}, "2"},
		{incidentFilter{limit: 9, code: "3"}, "42"},
		{incidentFilter{limit: 9, code: "Busy"}, "3"},
		{incidentFilter{limit: 1, code: "security", since: "90m"}, "4"},
		{incidentFilter{limit: 9, check: "host"}, ""},
	} {
		if err := test.filter.settle(now); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, i := range test.filter.of(all) {
			got += i.ID
		}
		if got != test.want {
			t.Errorf("%+v: got %q, want %q", test.filter, got, test.want)
		}
	}
	for _, f := range []incidentFilter{{}, {limit: -1}, {limit: 1, since: "-1h"}, {limit: 1, since: "yesterday"}} {
		if err := f.settle(now); err == nil {
			t.Errorf("%+v is taken", f)
		}
	}
}

// TestReadRecord: both files of a record, in order, without what is damaged.
func TestReadRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	for name, text := range map[string]string{
		path + ".1": "{\"id\":\"A\"}\n{\"id\":\"B\"}\n",
		path:        "{\"id\":\"C\"}\nrubbish\n{}\n{\"id\":\"D\"}\n{\"id\":\"E",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := readRecord(path)
	got := ""
	for _, i := range all {
		got += i.ID
	}
	if err != nil || got != "ABCD" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), maxRecordLine+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readRecord(path); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("a file with no end of a line: %v", err)
	}
	if _, err := readRecord(filepath.Dir(path)); err == nil {
		t.Error("a directory was read")
	}
}

// TestIncidentsArePrintable: peers write some of the texts, and must not steer a
// terminal or look like lines of ours.
func TestIncidentsArePrintable(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out}
	hostile := broker.Incident{ID: "7QX2-M4PD", Event: "call denied", Identity: "a\tb\nINCIDENT", Object: "\x1b[2J", Method: "\u202e", Got: "x\ny"}
	if err := a.printIncidents([]broker.Incident{hostile}, false); err != nil {
		t.Fatal(err)
	}
	if err := a.printRecord(false, hostile, incidentLines(&hostile)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"\x1b", "\u202e", "\t", "\nINCIDENT", "\ny"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q is printed:\n%q", bad, out.String())
		}
	}
}

func TestColumnTexts(t *testing.T) {
	for got, want := range map[string]string{
		bytesText(0): "0 B", bytesText(999): "999 B", bytesText(1000): "1 kB", bytesText(2670): "2.67 kB", bytesText(999_499): "999 kB",
		bytesText(999_500): "1 MB", bytesText(1 << 63): "9.22 EB",
		short(1400 * time.Millisecond): "1s", short(90 * time.Second): "2m", short(3*time.Hour + 10*time.Minute): "3h10m", short(50 * time.Hour): "2d",
		someOf([]string{"a", "b", "c"}, 2): "a, b and 1 more", someOf([]string{"a", "b"}, 2): "a, b", someOf(nil, 2): "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNamesWarning(t *testing.T) {
	allow := validator.Rule{Name: "a", Effect: validator.Allow}
	pinned := validator.Rule{Name: "p", Effect: validator.Allow, Issuers: []string{"sha256:00"}}
	deny := validator.Rule{Name: "d", Effect: validator.Deny}
	loose, tied := validator.MapRule{Name: "loose"}, validator.MapRule{Name: "tied", Issuer: "sha256:00"}
	for i, test := range []struct {
		roots int
		rules rules
		want  string
	}{
		{1, rules{calls: []validator.Rule{allow}}, ""},
		{2, rules{calls: []validator.Rule{allow}}, "every name"},
		{2, rules{calls: []validator.Rule{allow}, identities: []validator.MapRule{loose, tied}}, "pin no issuer: loose"},
		{3, rules{calls: []validator.Rule{allow}, identities: []validator.MapRule{tied}}, ""},
		{2, rules{calls: []validator.Rule{pinned, deny}}, ""},
		{2, rules{calls: []validator.Rule{pinned, allow}}, "every name"},
	} {
		got := test.rules.namesWarning(test.roots)
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%d: got %q, want %q", i, got, test.want)
		}
		if got != "" && !strings.Contains(got, fmt.Sprint(test.roots)) {
			t.Errorf("%d: %q does not say how many", i, got)
		}
	}
}
