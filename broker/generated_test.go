package broker_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/codec"
)

// vault is an object as generated code would make it.
func vault(b *bank) *broker.Exported {
	return &broker.Exported{Value: b, Interface: "Vault", Methods: []broker.ExportedMethod{
		{Name: "Deposit", Signature: "Deposit(string, int64) int64", Call: func(ctx context.Context, in *broker.Invocation) error {
			d := in.Args()
			d.Expect(2, 2)
			name, amount := d.Text(), d.Int64()
			if err := in.Decoded(); err != nil {
				return err
			}
			v, err := b.Deposit(ctx, name, amount)
			if err != nil {
				return err
			}
			in.Return(codec.AppendInt(in.Buffer(), v))
			return nil
		}},
		{Name: "Bytes", Signature: "Bytes([]byte) []byte", Idempotent: true, Call: func(ctx context.Context, in *broker.Invocation) error {
			p := in.Args().Bytes()
			if err := in.Decoded(); err != nil {
				return err
			}
			in.ReturnBytes(p)
			return nil
		}},
		{Name: "Missing", Signature: "Missing()", Call: func(ctx context.Context, in *broker.Invocation) error {
			in.Args()
			if err := in.Decoded(); err != nil {
				return err
			}
			return b.Missing()
		}},
	}}
}

func deposit(ctx context.Context, p *broker.Proxy, name string, amount int64) (v int64, err error) {
	r := p.Request("Deposit")
	if args, err := codec.AppendString(r.Args, name); err != nil {
		r.Fail(1, err)
	} else {
		r.Args = args
	}
	r.Args = codec.AppendInt(r.Args, amount)
	d, err := r.Call(ctx)
	if err != nil {
		return v, r.Close(err)
	}
	v = d.Int64()
	return v, r.Close(d.Err())
}

func TestGenerated(t *testing.T) {
	table := broker.Errors{"gone": fs.ErrNotExist}
	w := newWorld(t, func(c *broker.Config) { c.Errors = table })
	w.register("vault", vault(newBank()))
	p := w.proxy(w.client("bob@bank.example", func(c *broker.ClientConfig) { c.Errors = table }), w.uri("vault"))
	ctx := t.Context()
	for want := int64(5); want <= 20; want += 5 {
		if v, err := deposit(ctx, p, "alice", 5); err != nil || v != want {
			t.Fatalf("got %d, %v", v, err)
		}
	}
	// The same object, called without generated code.
	var v int64
	if err := p.Call(ctx, "Deposit", &v, "alice", 5); err != nil || v != 25 {
		t.Errorf("got %d, %v", v, err)
	}
	for _, n := range []int{0, 10, 20 << 10, 1 << 20} {
		r := p.Request("Bytes")
		sent := bytes.Repeat([]byte{7}, n)
		r.Bytes(sent)
		d, err := r.Call(ctx)
		if err != nil {
			t.Fatal(r.Close(err))
		}
		got := bytes.Clone(d.Bytes())
		if err := r.Close(d.Err()); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}
	}
	for _, test := range []struct {
		call func() error
		kind broker.Kind
		want string
	}{
		{func() error { return p.Call(ctx, "Deposit", nil, "alice") }, broker.KindArguments, "1 arguments, want Deposit(string, int64) int64"},
		{func() error { return p.Call(ctx, "Deposit", nil, "alice", 1, 2) }, broker.KindArguments, "3 arguments, want Deposit(string, int64) int64"},
		{func() error { return p.Call(ctx, "Deposit", nil, "alice", "x") }, broker.KindArguments, "argument 2, int64: a text"},
		{func() error { return p.Call(ctx, "Gate", nil) }, broker.KindNoMethod, "Gate"},
		{func() error { return p.Call(ctx, "Missing", nil) }, broker.KindApplication, "not exist"},
		{func() error { _, err := deposit(ctx, p, "\xff", 1); return err }, broker.KindArguments, "argument 1: "},
		{func() error {
			r := p.Request("Missing")
			d, err := r.Call(ctx)
			_ = d
			return r.Close(err)
		}, broker.KindApplication, "not exist"},
		{func() error {
			r := p.Request("Bytes")
			r.Bytes(nil)
			d, err := r.Call(ctx)
			if err == nil {
				d.Int64()
				err = d.Err()
			}
			return r.Close(err)
		}, broker.KindResult, "int64"},
	} {
		err := test.call()
		if kindOf(t, err) != test.kind || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %v with %q", err, test.kind, test.want)
		}
	}
	if err := p.Call(ctx, "Missing", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for _, bad := range []*broker.Exported{nil, {Methods: []broker.ExportedMethod{{}}}} {
		if _, err := w.daemon.Register("bad", bad); err == nil {
			t.Error("a bad table was registered")
		}
	}
	if _, err := w.daemon.Register("bad", vault(newBank()), broker.Expose("Bytes")); err == nil {
		t.Error("Expose was accepted")
	}
}

// TestGeneratedAllocations counts both sides' allocations of a small call.
func TestGeneratedAllocations(t *testing.T) {
	w := newWorld(t, nil)
	p := w.register("vault", vault(newBank()))
	ctx := context.Background()
	got := testing.AllocsPerRun(2000, func() {
		if _, err := deposit(ctx, p, "alice", 1); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%v allocations a call", got)
}
