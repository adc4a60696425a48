package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
)

// docBlock returns what stands in docs/operations.md between the fences after a mark,
// "test: who" or "file: policy.yaml". The ports in it are those of the script.
func docBlock(ts *testscript.TestScript, mark string) string {
	data, err := os.ReadFile(filepath.Join(docsDir, "operations.md"))
	ts.Check(err)
	_, rest, ok := strings.Cut(string(data), "<!-- "+mark+" -->\n```")
	if !ok {
		ts.Fatalf("docs/operations.md has nothing marked %q", mark)
	}
	_, rest, _ = strings.Cut(rest, "\n")
	block, _, ok := strings.Cut(rest, "\n```\n")
	if !ok {
		ts.Fatalf("docs/operations.md: %q does not end", mark)
	}
	if port := ts.Getenv("DOC_PORT"); port != "" {
		block = strings.ReplaceAll(block, "localhost:7766", "localhost:"+port)
	}
	return block + "\n"
}

// docsDir is absolute: a script runs elsewhere.
var docsDir, _ = filepath.Abs("../../docs")

// cmdDoc runs "doc MARK": the commands in docs/operations.md, as a shell does that stops
// at the first that fails. "doc MARK FILE" writes a file.
func cmdDoc(ts *testscript.TestScript, neg bool, args []string) {
	switch {
	case !neg && len(args) == 1:
		ts.Check(ts.Exec("sh", "-ec", docBlock(ts, "test: "+args[0])))
	case !neg && len(args) == 2:
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(docBlock(ts, "file: "+args[0])), 0o644))
	default:
		ts.Fatalf("usage: doc MARK [FILE]")
	}
}

var metricsAddress = regexp.MustCompile(`msg="metrics over HTTPS.* address=(\S+)`)

// cmdDocServe runs "docserve NAME": the broker serve of docs/operations.md, on ports that
// are free. $METRICS is where its metrics are, and later blocks of the page go to it.
func cmdDocServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: docserve NAME")
	}
	line := strings.NewReplacer("\\\n", " ", "127.0.0.1:7766", "127.0.0.1:0", "127.0.0.1:9766", "127.0.0.1:0").Replace(docBlock(ts, "test: serve"))
	words := strings.Fields(line)
	if len(words) < 3 || words[0] != "broker" || words[1] != "serve" {
		ts.Fatalf("it is %q, want broker serve", line)
	}
	cmdStart(ts, false, append([]string{args[0]}, words[2:]...))
	ts.Setenv("DOC_PORT", ts.Getenv(args[0]+"_PORT"))
	at := metricsAddress.FindStringSubmatch(ts.ReadFile(args[0] + ".err"))
	if at == nil {
		ts.Fatalf("it does not say where its metrics are")
	}
	ts.Setenv("METRICS", "https://"+at[1]+"/metrics")
}

// cmdHold runs "hold FILE URI CERT": a client in this process, with CERT.crt, CERT.key
// and pki/ca.crt, that calls echo again and again over one connection. When a call
// fails, FILE has why, as the command would say it, and it stops.
func cmdHold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: hold FILE URI CERT")
	}
	base := ts.MkAbs(args[2])
	material, err := certs.Load(base+".crt", base+".key", ts.MkAbs("pki/ca.crt"))
	ts.Check(err)
	client, err := broker.NewClient(broker.ClientConfig{Certs: certs.Static(material), Logger: slog.New(slog.DiscardHandler)})
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	p, err := client.Proxy(ctx, args[1]+"/echo")
	ts.Check(err)
	ts.Check(p.Call(ctx, "Echo", nil, 1))
	file, ended := ts.MkAbs(args[0]), make(chan struct{})
	ts.Check(os.WriteFile(file, nil, 0o600))
	go func() { // ends with the script, or the connection
		defer close(ended)
		for {
			if err := p.Call(ctx, "Echo", nil, 1); err != nil {
				text, hint, _ := explain(err)
				os.WriteFile(file, []byte(text+"\n"+hint+"\n"), 0o600)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	ts.Defer(func() {
		stop()
		<-ended
		client.Close()
	})
}

// cmdFetch runs "fetch CODE FILE URL CERT": a GET over HTTPS, whose answer goes to FILE.
func cmdFetch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: fetch CODE FILE URL CERT")
	}
	base := ts.MkAbs(args[3])
	pair, err := tls.LoadX509KeyPair(base+".crt", base+".key")
	ts.Check(err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(ts.ReadFile("pki/ca.crt"))) {
		ts.Fatalf("pki/ca.crt has no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: []tls.Certificate{pair}}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport, Timeout: patience}).Get(args[2])
	ts.Check(err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	ts.Check(errors.Join(err, os.WriteFile(ts.MkAbs(args[1]), data, 0o600)))
	if got := strconv.Itoa(r.StatusCode); got != args[0] {
		ts.Fatalf("status %s, want %s\n%s", got, args[0], data)
	}
}

// cmdFound runs "found NAME FILE": $NAME is the first incident id in the file, which may
// be stdout.
func cmdFound(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: found NAME FILE")
	}
	id := regexp.MustCompile(`\b[0-9A-Z]{4}-[0-9A-Z]{4}\b`).FindString(ts.ReadFile(args[1]))
	if id == "" {
		ts.Fatalf("%s has no incident", args[1])
	}
	ts.Setenv(args[0], id)
}
