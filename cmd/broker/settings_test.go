package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "broker.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("listen: :7000\npublish: bank.example:7766\ncert: tls/a.crt\nkey: /etc/a.key\npolicy: ../policy.yaml\ndrain: 3s\nmax_connections: 5\nmax_handshakes: 6\nhandshake_timeout: 7s\nmax_message: 80000\nlog_level: warn\n" +
		"crl: [a.crl, /etc/b.crl]\ndeny_list: deny\nrevocation_max_age: 24h\nrequire_lists: true\ninsecure_allow_stale_lists: false\nrecord: incidents\naudit: '-'\nmetrics: :9766\n")
	got, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		Listen: ":7000", Publish: "bank.example:7766", Cert: filepath.Join(dir, "tls/a.crt"), Key: "/etc/a.key",
		Policy: filepath.Join(filepath.Dir(dir), "policy.yaml"), Drain: 3 * time.Second,
		MaxConnections: 5, MaxHandshakes: 6, HandshakeTimeout: 7 * time.Second, MaxMessage: 80000, LogLevel: "warn",
		lists: lists{
			CRL: []string{filepath.Join(dir, "a.crl"), "/etc/b.crl"}, Deny: filepath.Join(dir, "deny"), MaxAge: 24 * time.Hour,
			All: choice{given: true, yes: true}, Stale: choice{given: true},
		},
		Record: filepath.Join(dir, "incidents"), Audit: "-", Metrics: ":9766",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, test := range []struct{ text, want string }{
		{"", "empty"},
		{"# nothing\n", "no documents"},
		{"listen: :7000\nlisten: :7001\n", "listen"},
		{"lisen: :7000\n", "lisen"},
		{"dev: true\n", "dev"},
		{"drain: -1s\n", "drain is -1s, want more than 0"},
		{"drain: 0s\n", "want more than 0"},
		{"drain: soon\n", "soon"},
		{"max_connections: 0\n", "max_connections is 0"},
		{"max_message: -5\n", "max_message is -5"},
		{"max_message: lots\n", "lots"},
		{"handshake_timeout: 0s\n", "handshake_timeout is 0s"},
		{"revocation_max_age: 0s\n", "revocation_max_age is 0s"},
		{"require_lists: maybe\n", "line 1"},
		{"crl: {}\n", "line 1"},
		{"log_level: loud\n", "debug, info, warn or error"},
		{"listen: [a, b]\n", "line 1"},
		{"listen\n", ""},
		{"listen: :7000\n---\nlisten: :7001\n", ""},
		{"\t", ""},
	} {
		write(test.text)
		got, err := readConfig(path)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("config %q: got %+v, %v, want an error of one line with %q", test.text, got, err, test.want)
		}
	}
	if _, err := readConfig(filepath.Join(dir, "none.yaml")); err == nil {
		t.Error("a missing file was read")
	}
	write("# " + strings.Repeat("x", maxConfig))
	if _, err := readConfig(path); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("a huge file: got %v, want an error about its size", err)
	}
}

func TestSettingsOrder(t *testing.T) {
	flags := settings{Listen: "flag", Drain: time.Second, lists: lists{CRL: []string{"flag"}, Stale: choice{given: true}}}
	env := settings{Listen: "env", Cert: "env", Key: "env"}
	file := settings{Listen: "file", Cert: "file", CA: "file", Drain: 2 * time.Second, Publish: "file", Policy: "file", Identities: "file",
		lists: lists{CRL: []string{"file"}, Deny: "file", All: choice{true, true}, Stale: choice{true, true}}}
	got := flags.over(env).over(file)
	want := settings{Listen: "flag", Cert: "env", Key: "env", CA: "file", Drain: time.Second, Publish: "file", Policy: "file", Identities: "file",
		lists: lists{CRL: []string{"flag"}, Deny: "file", All: choice{true, true}, Stale: choice{given: true}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte("listen: :7766\ncert: a\n"))
	f.Add([]byte("drain: 10s\nunknown: 1\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := parseConfig(data)
		if err != nil {
			return
		}
		if s.Drain < 0 || s.HandshakeTimeout < 0 || s.MaxConnections < 0 || s.MaxHandshakes < 0 || s.MaxMessage < 0 {
			t.Fatalf("%q gave %+v", data, s)
		}
		if _, err := s.level(); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
	})
}
