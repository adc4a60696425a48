package bank_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/internal/testca"
)

const rules = `
identities:
  - name: staff
    match: {email: '(teller|mallory)@bank\.example'}
    as: $1
rules:
  - name: tellers
    effect: allow
    identities: [teller]
    objects: [bank]
    methods: ["*"]
`

// The two programs are built and run as a user would.
func TestProcesses(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./bankd", "./client")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", build, err, out)
	}
	ca := testca.New(t)
	ca.Server(t, "localhost", "127.0.0.1").WriteFiles(t, dir, "server")
	ca.Client(t, "teller@bank.example").WriteFiles(t, dir, "teller")
	ca.Client(t, "mallory@bank.example").WriteFiles(t, dir, "mallory")
	ca.Client(t, "stranger@bank.example").WriteFiles(t, dir, "stranger")
	write(t, filepath.Join(dir, "ca.crt"), string(ca.RootPEM()))
	write(t, filepath.Join(dir, "rules.yaml"), rules)

	// Without its files it says which one is missing.
	lost := exec.Command(filepath.Join(dir, "bankd"), "--listen", "127.0.0.1:0")
	lost.Dir = dir
	if out, err := lost.CombinedOutput(); err == nil || lost.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "bankd: error: ") || !strings.Contains(string(out), "pki/server.crt") {
		t.Errorf("bankd without certificates: %v, %q, want exit code 1 and the file's name", err, out)
	}

	var stderr bytes.Buffer
	bankd := exec.Command(filepath.Join(dir, "bankd"), "--listen", "127.0.0.1:0", "--publish", "localhost",
		"--cert", "server.crt", "--key", "server.key", "--ca", "ca.crt", "--rules", "rules.yaml")
	bankd.Dir, bankd.Stderr = dir, &stderr
	stdout, err := bankd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bankd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bankd.Process.Kill() })
	uri, err := bufio.NewReader(stdout).ReadString('\n')
	uri = strings.TrimSpace(uri)
	if err != nil || !strings.HasPrefix(uri, "PYROSSL://localhost:") || !strings.HasSuffix(uri, "/bank") {
		bankd.Wait()
		t.Fatalf("bankd printed %q (%v)\n%s", uri, err, stderr.String())
	}

	call := func(who string) (string, string, int) {
		client := exec.Command(filepath.Join(dir, "client"), "--cert", who+".crt", "--key", who+".key", "--ca", "ca.crt", uri)
		var out, errs bytes.Buffer
		client.Dir, client.Stdout, client.Stderr = dir, &out, &errs
		if err := client.Run(); client.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), errs.String(), client.ProcessState.ExitCode()
	}
	for _, want := range []string{"alice has 100\nalice cannot withdraw 101: ", "alice has 200\nalice cannot withdraw 201: "} {
		if out, errs, code := call("teller"); code != 0 || !strings.HasPrefix(out, want) || errs != "" {
			t.Errorf("the teller: exit code %d, stdout %q, stderr %q, want stdout %q…", code, out, errs, want)
		}
	}
	if out, errs, code := call("mallory"); code != 1 || out != "" || !strings.Contains(errs, "denied") || !strings.Contains(errs, "bank.Deposit") {
		t.Errorf("who may connect and not deposit: exit code %d, stdout %q, stderr %q", code, out, errs)
	}
	if out, errs, code := call("stranger"); code != 1 || out != "" || !strings.Contains(errs, "connection denied") {
		t.Errorf("who may not connect: exit code %d, stdout %q, stderr %q", code, out, errs)
	}

	if err := bankd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- bankd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("bankd ended with %v\n%s", err, stderr.String())
		}
	case <-time.After(20 * time.Second):
		t.Errorf("bankd does not end\n%s", stderr.String())
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
