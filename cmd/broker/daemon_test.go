package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pyrossl/pyrossl/internal/testca"
)

// patience is how long a script waits for what takes milliseconds on an idle machine.
const patience = 20 * time.Second

type daemonsKey struct{}

// daemons are the background processes of one script.
type daemons struct {
	mu      sync.Mutex
	running map[string]*process
}

type process struct {
	cmd      *exec.Cmd
	out, err string // files
	done     chan struct{}
	state    error
}

// newDaemons ends with the script whatever it leaves running.
func newDaemons(env *testscript.Env) *daemons {
	d := &daemons{running: make(map[string]*process)}
	env.Defer(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for name, p := range d.running {
			select {
			case <-p.done:
				log, _ := os.ReadFile(p.err)
				env.T().Log(fmt.Sprintf("%s ended by itself: %v\n%s", name, p.state, log))
			default:
				p.cmd.Process.Kill()
				<-p.done
			}
		}
	})
	return d
}

func (d *daemons) get(ts *testscript.TestScript, name string) *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.running[name]
	if p == nil {
		ts.Fatalf("no process %q", name)
	}
	return p
}

func daemonsOf(ts *testscript.TestScript) *daemons { return ts.Value(daemonsKey{}).(*daemons) }

// cmdStart runs "start NAME ARGS...": broker serve in the background. It waits until
// the URI of Pyro.Daemon is on its stdout, and sets $NAME to it without the object.
// Output goes to the files NAME.out and NAME.err.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: start NAME ARGS...")
	}
	p := &process{out: ts.MkAbs(args[0] + ".out"), err: ts.MkAbs(args[0] + ".err"), done: make(chan struct{})}
	stdout, err := os.Create(p.out)
	ts.Check(err)
	defer stdout.Close()
	stderr, err := os.Create(p.err)
	ts.Check(err)
	defer stderr.Close()
	path, err := exec.LookPath("broker")
	ts.Check(err)
	p.cmd = exec.Command(path, append([]string{"serve"}, args[1:]...)...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir, p.cmd.Env = stdout, stderr, ts.MkAbs("."), environOf(ts)
	ts.Check(p.cmd.Start())
	go func() { // ends with the process
		p.state = p.cmd.Wait()
		close(p.done)
	}()
	d := daemonsOf(ts)
	d.mu.Lock()
	d.running[args[0]] = p
	d.mu.Unlock()
	for until := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		data, _ := os.ReadFile(p.out)
		if uri, _, ok := strings.Cut(string(data), "/Pyro.Daemon"); ok {
			ts.Setenv(args[0], uri[strings.LastIndex(uri, "PYROSSL://"):])
			ts.Setenv(args[0]+"_PORT", uri[strings.LastIndex(uri, ":")+1:])
			return
		}
		select {
		case <-p.done:
			ts.Fatalf("it ended: %v\n%s", p.state, ts.ReadFile(args[0]+".err"))
		default:
		}
		if time.Now().After(until) {
			ts.Fatalf("it is not ready after %v\n%s", patience, ts.ReadFile(args[0]+".err"))
		}
	}
}

// environOf is the script's environment: of PYRO_* and PYROSSL_*, what it set itself.
func environOf(ts *testscript.TestScript) []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "PYRO") {
			env = append(env, kv)
		}
	}
	for _, name := range []string{"HOME", "PYRO_HOST", "PYRO_PORT", "PYRO_PUBLISHHOST", "PYRO_SOCK_KEEPALIVE", "PYROSSL_CERTDIR", "PYROSSL_CERT", "PYROSSL_KEY", "PYROSSL_CA_CERT", "PYROSSL_POSTCONNCHECK"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

var signals = map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP}

// cmdSignal runs "signal NAME INT|TERM|HUP".
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal NAME INT|TERM|HUP")
	}
	sig, ok := signals[args[1]]
	if !ok {
		ts.Fatalf("unknown signal %q", args[1])
	}
	ts.Check(daemonsOf(ts).get(ts, args[0]).cmd.Process.Signal(sig))
}

// cmdEnds runs "ends NAME CODE": waits until it has ended, with this exit code.
func cmdEnds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	d := daemonsOf(ts)
	p := d.get(ts, args[0])
	select {
	case <-p.done:
	case <-time.After(patience):
		ts.Fatalf("it has not ended after %v\n%s", patience, ts.ReadFile(args[0]+".err"))
	}
	if got := strconv.Itoa(p.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("exit code %s, want %s\n%s", got, args[1], ts.ReadFile(args[0]+".err"))
	}
	d.mu.Lock()
	delete(d.running, args[0])
	d.mu.Unlock()
}

// cmdAwait runs "await FILE TEXT": waits until the file holds the text.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE TEXT")
	}
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if data, _ := os.ReadFile(ts.MkAbs(args[0])); bytes.Contains(data, []byte(args[1])) {
			return
		}
	}
	ts.Fatalf("%s does not hold %q:\n%s", args[0], args[1], ts.ReadFile(args[0]))
}

var incidentID = regexp.MustCompile(`\[incident ([0-9A-Z-]+)\]`)

// cmdIncident runs "incident FILE TEXT": the incident on stderr is in FILE, in a line
// with the text.
func cmdIncident(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: incident FILE TEXT")
	}
	id := incidentID.FindStringSubmatch(ts.ReadFile("stderr"))
	if id == nil {
		ts.Fatalf("there is no incident on stderr")
	}
	cmdAwait(ts, false, []string{args[0], id[1]})
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if strings.Contains(line, id[1]) && strings.Contains(line, args[1]) {
			return
		}
	}
	ts.Fatalf("%s has no line with %s and %q", args[0], id[1], args[1])
}

// cmdExits runs "exits CODE PROGRAM ARGS..." and wants this exit code; stdout and
// stderr are there for the commands of the same names.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// cmdPaste runs "paste FILE": each command in it that serve --dev prints, as a user
// would who pastes it into a shell. A line that says "refused" must exit with 3.
func cmdPaste(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: paste FILE")
	}
	ran, refused := 0, 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if !strings.HasPrefix(line, "  ") {
			continue
		}
		want := 0
		if strings.Contains(line, "refused") {
			want, refused = exitDenied, refused+1
		}
		cmd := exec.Command("sh", "-c", line)
		cmd.Dir, cmd.Env = ts.MkAbs("."), environOf(ts)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			ts.Fatalf("%s: %v", line, err)
		}
		if got := cmd.ProcessState.ExitCode(); got != want {
			ts.Fatalf("%sexit code %d, want %d\n%s", line, got, want, out)
		}
		ts.Logf("$ %s%s", line, out)
		ran++
	}
	if ran < 4 || refused < 1 {
		ts.Fatalf("%d commands, %d of them refused; want at least 4 and 1", ran, refused)
	}
}

// cmdPKI runs "pki DIR": a CA and certificates apart from the development ones:
// ca.crt, server (localhost), client (email alice@bank.example), other (email
// bob@bank.example), and in DIR/foreign a client of another CA.
func cmdPKI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: pki DIR")
	}
	tb := scriptTB{TB: nil, ts: ts}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir+"/foreign", 0o700))
	ca, foreign := testca.New(tb), testca.New(tb)
	ts.Check(os.WriteFile(dir+"/ca.crt", ca.RootPEM(), 0o644))
	ca.Server(tb, "localhost", "127.0.0.1").WriteFiles(tb, dir, "server")
	ca.Server(tb, "elsewhere.example").WriteFiles(tb, dir, "elsewhere")
	ca.Client(tb, "alice@bank.example").WriteFiles(tb, dir, "client")
	ca.Client(tb, "bob@bank.example").WriteFiles(tb, dir, "other")
	foreign.Client(tb, "alice@bank.example").WriteFiles(tb, dir+"/foreign", "client")
	ts.Check(os.WriteFile(dir+"/foreign/ca.crt", foreign.RootPEM(), 0o644))
}

// scriptTB lets testca fail the script.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (scriptTB) Helper()                            {}
func (tb scriptTB) Fatal(args ...any)               { tb.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (tb scriptTB) Fatalf(f string, args ...any)    { tb.ts.Fatalf(f, args...) }
func (tb scriptTB) Error(args ...any)               { tb.Fatal(args...) }
func (tb scriptTB) Errorf(f string, args ...any)    { tb.Fatalf(f, args...) }
func (tb scriptTB) Logf(format string, args ...any) { tb.ts.Logf(format, args...) }
func (tb scriptTB) Log(args ...any)                 { tb.ts.Logf("%s", fmt.Sprint(args...)) }

// cmdListen runs "listen NAME GREETING": a server that is no daemon. It sends
// GREETING, if any, to whoever connects, and then reads in silence. $NAME is its
// host:port.
func cmdListen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: listen NAME GREETING")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() { // ends with the script
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, args[1])
				io.Copy(io.Discard, c)
			}()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	ts.Setenv(args[0], "localhost:"+port)
}
