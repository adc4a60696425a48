package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/protocol")

const vectorDir = "../../../testdata/protocol"

// vector is one file of testdata/protocol: header lines, an empty line, hex.
type vector struct {
	name   string
	expect string // "ok" or a part of the error
	note   string
	bytes  []byte
}

func (v vector) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "expect: %s\ncomment: %s\n\n", v.expect, v.note)
	for p := v.bytes; len(p) > 0; {
		n := min(32, len(p))
		fmt.Fprintf(&b, "%x\n", p[:n])
		p = p[n:]
	}
	return b.String()
}

func readVector(path string) (v vector, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return v, err
	}
	v.name = strings.TrimSuffix(filepath.Base(path), ".txt")
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<20)
	for s.Scan() && s.Text() != "" {
		key, value, _ := strings.Cut(s.Text(), ": ")
		switch key {
		case "expect":
			v.expect = value
		case "comment":
			v.note = value
		default:
			return v, fmt.Errorf("%s: unknown header %q", path, key)
		}
	}
	for s.Scan() {
		p, err := hex.DecodeString(s.Text())
		if err != nil {
			return v, err
		}
		v.bytes = append(v.bytes, p...)
	}
	return v, s.Err()
}

// sample returns the frames that the vectors pin, made by this package.
func sample(t *testing.T) []vector {
	t.Helper()
	limits := Limits{Calls: 1024, Message: 4 << 20, Window: 8 << 20, IdleSeconds: 60}
	control := func(name, note string, typ Type, id uint32, body any) vector {
		b, err := AppendControl(nil, typ, id, body)
		if err != nil {
			t.Fatal(err)
		}
		return vector{name, "ok", note, b}
	}
	frame := func(name, note string, h Header, payload []byte) vector {
		h.Length = len(payload)
		return vector{name, "ok", note, append(AppendHeader(nil, h), payload...)}
	}
	call := func(metadata map[string]string, timeout uint64, args ...byte) []byte {
		b, err := AppendCallHead(nil, "bank", "Deposit", metadata, timeout)
		if err != nil {
			t.Fatal(err)
		}
		return append(b, args...)
	}
	args := []byte("\x65alice\x18\x64") // "alice", 100
	id := CallID(1, 0, ClientSide)
	return []vector{
		control("welcome", "a verdict with everything that is always there", Welcome, 0, &WelcomeBody{Version: 1, Session: "0123456789ABCDEF", Principal: "email:alice@bank.example", Name: "alice", NotAfter: 1767225600, Limits: limits}),
		control("welcome-full", "a verdict after an identification", Welcome, 0, &WelcomeBody{Version: 1, Session: "0123456789ABCDEF", Principal: "uri:spiffe://bank.example/teller", Name: "teller", Roles: []string{"teller", "clerk"}, User: "alice", NotAfter: 1767225600, Limits: limits, Proof: []byte("v=AAAA")}),
		control("deny", "refused: no mapping rule", Deny, 0, &DenyBody{Code: 3, Check: "identity", Got: "dns:stock.example", Want: "a name that a rule maps", Incident: "7QX2-M4PD"}),
		control("deny-busy", "refused for now", Deny, 0, &DenyBody{Code: 1, Check: "busy", Incident: "7QX2-M4PD", RetryAfterMillis: 1000}),
		control("hello", "the client's limits", Hello, 0, &HelloBody{Limits: limits}),
		frame("challenge", "the standard mechanism's name", Header{Type: Challenge}, []byte("SCRAM-SHA-256-PLUS")),
		frame("call", "bank.Deposit(\"alice\", 100) with 30 s", Header{Type: Call, ID: id}, call(nil, 30000, args...)),
		frame("call-metadata", "with metadata and no time limit", Header{Type: Call, ID: id}, call(map[string]string{"b": "2", "a": "1"}, 0, args...)),
		frame("call-oneway", "a oneway call", Header{Type: Call, Flags: Oneway, ID: CallID(2, 1, ClientSide)}, call(nil, 0)),
		frame("call-retry", "a call that may have run before", Header{Type: Call, Flags: Retry, ID: id}, call(nil, 30000, args...)),
		frame("result", "100", Header{Type: Result, ID: id}, []byte{0x18, 0x64}),
		frame("result-empty", "of a method without a result", Header{Type: Result, ID: id}, nil),
		control("error-denied", "the caller may not", Error, id, &ErrorBody{Kind: KindDenied, Message: "no policy lets email:mallory@bank.example call bank.Deposit", Incident: "7QX2-M4PD"}),
		control("error-known", "an error that both sides know by name", Error, id, &ErrorBody{Kind: KindApplication, Message: "overdrawn", Name: "bank.overdrawn", Data: []byte{0xa0}}),
		frame("cancel", "the caller no longer waits", Header{Type: Cancel, ID: id}, nil),
		frame("call-stream", "a call with a stream each way", Header{Type: Call, Flags: Sends | Wants, ID: id}, call(nil, 0)),
		frame("call-batch", "Deposit(\"alice\", 100), then Balance of what that returned", Header{Type: Call, Flags: Batch, ID: id}, batchCall(t)),
		frame("item", "the item 100", Header{Type: Item, ID: id}, []byte{0x18, 0x64}),
		{"credit", "ok", "65,536 bytes more", AppendCredit(nil, id, 1<<16)},
		{"credit-stop", "ok", "no more is wanted", AppendCredit(nil, id, 0)},
		frame("end", "of the caller's stream", Header{Type: End, ID: id}, nil),
		control("end-error", "why the caller broke off", End, id, &ErrorBody{Kind: KindApplication, Message: "the file is broken"}),
		frame("ping", "a heartbeat", Header{Type: Ping}, nil),
		control("goaway-drain", "no new calls", GoAway, 0, &GoAwayBody{Drain: true, Reason: "the daemon is shutting down"}),
		control("goaway-end", "the end, with its reason", GoAway, 0, &GoAwayBody{Reason: "the certificate has expired", Check: "dates", Incident: "7QX2-M4PD"}),
		{"bad-type", "unknown frame type 0x7f", "below 0x80 every type must be known", AppendHeader(nil, Header{Type: 0x7f})},
		{"bad-flags", "unknown flags 0x80", "a flag that is not defined", AppendHeader(nil, Header{Type: Call, Flags: 0x80})},
		{"bad-flags-ping", "unknown flags 0x01", "a flag of another type", AppendHeader(nil, Header{Type: Ping, Flags: More})},
		{"bad-credit", "credit of 3 bytes", "a number that is cut short", append(AppendHeader(nil, Header{Type: Credit, Length: 3, ID: id}), 0, 0, 1)},
		{"bad-length", "65528 bytes", "one byte more than a frame holds", AppendHeader(nil, Header{Type: Call, Length: MaxPayload + 1})},
		{"bad-call-array", "a call starts with", "an array of three", append(AppendHeader(nil, Header{Type: Call, Length: 4}), 0x83, 0x61, 'a', 0x61)},
		{"bad-call-object", "object id of 0 bytes", "an empty object id", append(AppendHeader(nil, Header{Type: Call, Length: 6}), 0x84, 0x60, 0x61, 'm', 0xf6, 0x00)},
		{"bad-call-utf8", "not valid UTF-8", "a method name that is no text", append(AppendHeader(nil, Header{Type: Call, Length: 8}), 0x84, 0x61, 'o', 0x62, 0xff, 0xfe, 0xf6, 0x00)},
		{"bad-call-cut", "but only 2 are left", "a name longer than the message", append(AppendHeader(nil, Header{Type: Call, Length: 4}), 0x84, 0x65, 'o', 'o')},
		{"bad-call-longhead", "a call starts with", "a length that is not in its shortest form", append(AppendHeader(nil, Header{Type: Call, Length: 8}), 0x84, 0x78, 0x01, 'o', 0x61, 'm', 0xf6, 0x00)},
		{"bad-welcome-key", "unknown", "a key that version 1 does not know", func() vector {
			v := control("", "", Ping, 0, map[int]int{99: 1})
			v.bytes[3] = byte(Welcome)
			return v
		}().bytes},
	}
}

// batchCall is the payload of a batch. PROTOCOL §5.9.
func batchCall(t *testing.T) []byte {
	t.Helper()
	b, err := AppendCallHead(nil, "bank", "batch", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, 0)
	b = append(b, "\x84\x67Deposit\xf6\x65alice\x18\x64"...)
	return append(b, "\x83\x67Balance\xa1\x00\x00\xf6"...)
}

// parse reads a frame as a receiver would and returns what it says, in a form
// that can be written again.
func parse(b []byte) (any, error) {
	if len(b) < HeaderSize {
		return nil, fmt.Errorf("short")
	}
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	p := b[HeaderSize:]
	if len(p) != h.Length {
		return nil, fmt.Errorf("frame has %d bytes of payload, header says %d", len(p), h.Length)
	}
	var body any
	switch h.Type {
	case Welcome:
		body = new(WelcomeBody)
	case Deny:
		body = new(DenyBody)
	case Hello:
		body = new(HelloBody)
	case Error:
		body = new(ErrorBody)
	case Credit:
		n, err := ParseCredit(p)
		return []any{h, n}, err
	case End:
		if len(p) == 0 {
			return []any{h, p}, nil
		}
		body = new(ErrorBody)
	case GoAway:
		body = new(GoAwayBody)
	case Call:
		head, args, err := ParseCallHead(p)
		return []any{h, head, args}, err
	default:
		return []any{h, p}, nil
	}
	if err := ParseControl(h.Type, p, body); err != nil {
		return nil, err
	}
	return []any{h, body}, nil
}

func TestVectors(t *testing.T) {
	if *update {
		if err := os.MkdirAll(vectorDir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, v := range sample(t) {
			if err := os.WriteFile(filepath.Join(vectorDir, v.name+".txt"), []byte(v.text()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	files, _ := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	made := sample(t)
	if len(files) != len(made) {
		t.Errorf("%d vectors in %s, want %d (run with -update)", len(files), vectorDir, len(made))
	}
	for _, want := range made {
		t.Run(want.name, func(t *testing.T) {
			v, err := readVector(filepath.Join(vectorDir, want.name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(v.bytes, want.bytes) {
				t.Errorf("we write\n%x, the vector is\n%x", want.bytes, v.bytes)
			}
			_, err = parse(v.bytes)
			switch {
			case v.expect == "ok" && err != nil:
				t.Errorf("refused: %v", err)
			case v.expect != "ok" && (err == nil || !strings.Contains(err.Error(), v.expect)):
				t.Errorf("got %v, want an error with %q", err, v.expect)
			}
		})
	}
}

func TestCallID(t *testing.T) {
	for _, slot := range []int{0, 1, 1023, MaxSlots - 1} {
		for _, side := range []Side{ClientSide, ServerSide} {
			id := CallID(1<<18-1, slot, side)
			if Slot(id) != slot || SideOf(id) != side {
				t.Errorf("CallID(slot %d, side %d) reads as slot %d, side %d", slot, side, Slot(id), SideOf(id))
			}
			if CallID(2, slot, side) == CallID(1, slot, side) {
				t.Error("generations do not differ")
			}
		}
	}
}

func TestLimitsCheck(t *testing.T) {
	good := Limits{Calls: 1, Message: MaxFrame, Window: MaxFrame, IdleSeconds: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Limits){
		"no calls":       func(l *Limits) { l.Calls = 0 },
		"too many calls": func(l *Limits) { l.Calls = MaxSlots + 1 },
		"small message":  func(l *Limits) { l.Message = MaxFrame - 1 },
		"small window":   func(l *Limits) { l.Message = 2 * MaxFrame },
		"no idle time":   func(l *Limits) { l.IdleSeconds = 0 },
		"two days idle":  func(l *Limits) { l.IdleSeconds = 48 * 3600 },
	} {
		l := good
		change(&l)
		if l.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBytesItem(t *testing.T) {
	for _, n := range []int{0, 1, 23, 24, 255, 256, 70000} {
		content := bytes.Repeat([]byte{9}, n)
		item := append(AppendBytesHead(nil, n), content...)
		if got, ok := BytesItem(item); !ok || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %v", n, ok)
		}
		if _, ok := BytesItem(append(item, 0)); ok {
			t.Errorf("%d bytes and one behind: accepted", n)
		}
	}
}

// FuzzFrame: no input panics, and what is accepted writes the same bytes again.
func FuzzFrame(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(vectorDir, "*.txt"))
	for _, file := range files {
		if v, err := readVector(file); err == nil {
			f.Add(v.bytes)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parse(b)
		if err != nil {
			return
		}
		parts := got.([]any)
		h := parts[0].(Header)
		again := AppendHeader(nil, h)
		switch body := parts[1].(type) {
		case CallHead:
			again, err = AppendCallHead(again, string(body.Object), string(body.Method), body.Metadata, body.TimeoutMillis)
			if err != nil {
				t.Fatalf("cannot write what was read: %v", err)
			}
			again = append(again, parts[2].([]byte)...)
			if len(body.Metadata) == 0 && !bytes.Equal(again, b) {
				return // an empty map is written as null
			}
		case []byte:
			again = append(again, body...)
		case int:
			again = AppendCredit(nil, h.ID, body)
		default:
			again, err = AppendControl(nil, h.Type, h.ID, reflect.ValueOf(body).Interface())
			if err != nil {
				t.Fatalf("cannot write what was read: %v", err)
			}
			if second, err := parse(again); err != nil || !reflect.DeepEqual(second.([]any)[1], body) {
				t.Fatalf("read %+v, wrote it, and read %+v, %v", body, second, err)
			}
			return // an empty field may have been written out
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("read %x, wrote %x", b, again)
		}
	})
}
