package nameserver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/broker/names"
	"github.com/pyrossl/pyrossl/validator"
)

// TestName: a daemon's object is found by its name, and not any more when the daemon says
// good-bye.
func TestName(t *testing.T) {
	w := newWorld(t)
	s := w.service("bank-1.example", broker.InNames(":bank.eu.accounts", "Writable", "eu"))
	if err := s.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	alice := w.client("alice.example")
	p, err := alice.Proxy(t.Context(), "PYRONAME://bank.eu.accounts")
	if err != nil {
		t.Fatal(err)
	}
	if host, err := where(t.Context(), p); err != nil || host != "bank-1.example" {
		t.Fatalf("got %q, %v", host, err)
	}
	other, err := alice.Proxy(t.Context(), "PYRONAMESSL://"+nsHost+"/bank.eu.accounts")
	if err != nil {
		t.Fatal(err)
	}
	if host, err := where(t.Context(), other); err != nil || host != "bank-1.example" {
		t.Fatalf("by the name server's host: got %q, %v", host, err)
	}
	ns := w.names("alice.example")
	found, err := ns.Lookup(t.Context(), "bank.eu.accounts")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	r := found[0]
	if r.URI != "PYROSSL://bank-1.example:7766/bank" || r.Identity != "dns:bank-1.example" || r.Owner != "dns:bank-1.example" ||
		!slices.Equal(r.Tags, []string{"eu", "writable"}) || r.Daemon == "" || r.Revision == 0 || time.Since(r.Since) > time.Minute {
		t.Errorf("got %+v", r)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if found, err := ns.Lookup(t.Context(), "bank.eu.accounts"); !errors.Is(err, names.ErrNotFound) {
		t.Errorf("after the daemon has stopped: %v, %v", found, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := where(ctx, p); err == nil {
		t.Error("the daemon that has stopped was called")
	}
	if p, err = alice.Proxy(t.Context(), "PYRONAME://never.was"); err != nil {
		t.Fatal(err)
	}
	if _, err := where(t.Context(), p); !errors.Is(err, broker.ErrNoName) || !errors.Is(err, broker.KindUnreachable) {
		t.Errorf("got %v, want %v", err, broker.ErrNoName)
	}
}

// TestKilled: the names of a daemon that dies without a word vanish with its lease, and
// the name is free. A daemon that lives keeps its own.
func TestKilled(t *testing.T) {
	w := newWorld(t)
	dead := w.service("bank-1.example", broker.InNames("bank.dead"))
	live := w.service("bank-2.example", broker.InNames("bank.live"))
	if err := errors.Join(dead.Announce(t.Context()), live.Announce(t.Context())); err != nil {
		t.Fatal(err)
	}
	ns := w.names("bank-3.example")
	seen := make(chan names.Change, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for c, err := range ns.Watch(ctx, "bank") {
			if err != nil {
				return
			}
			seen <- c
		}
	})
	defer wg.Wait()
	defer cancel()
	for _, want := range []string{"is bank.dead", "is bank.live", "ready "} {
		if c := <-seen; c.Kind+" "+c.Name != want {
			t.Errorf("got %s %s, want %s", c.Kind, c.Name, want)
		}
	}
	dead.kill()
	select {
	case c := <-seen:
		if c.Kind != "gone" || c.Name != "bank.dead" {
			t.Errorf("got %+v", c)
		}
	case <-time.After(10 * w.ttl):
		t.Fatal("the name has outlived its daemon")
	}
	if _, err := ns.Lookup(t.Context(), "bank.dead"); !errors.Is(err, names.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := ns.Lookup(t.Context(), "bank.live"); err != nil {
		t.Error(err)
	}
	eventually(t, "the name is free", func() bool {
		r, err := ns.Register(t.Context(), names.Registration{Name: "bank.dead", URI: "PYROSSL://bank-3.example/bank"})
		return err == nil && r.Owner == "dns:bank-3.example"
	})
}

// TestComesBack: a daemon enters its names anew when the name server has lost them, whether
// it was stopped, or its data are gone; and clients find it again by themselves.
func TestComesBack(t *testing.T) {
	w := newWorld(t)
	s := w.service("bank-1.example", broker.InNames("bank"))
	if err := s.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := w.client("alice.example").Proxy(t.Context(), "PYRONAME://bank")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := where(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	for _, lose := range []bool{false, true} {
		w.stop()
		if _, err := where(t.Context(), p); err != nil {
			t.Errorf("while the name server is away, what was known holds: %v", err)
		}
		if lose {
			if err := os.RemoveAll(w.dir); err != nil {
				t.Fatal(err)
			}
		}
		w.start()
		ns := w.names("bob.example")
		eventually(t, "the name is back", func() bool {
			found, err := ns.Lookup(t.Context(), "bank")
			return err == nil && found[0].Owner == "dns:bank-1.example"
		})
		if _, err := where(t.Context(), p); err != nil {
			t.Error(err)
		}
	}
}

// TestStartsAnew: a daemon that was killed takes its own name again at once, before its
// lease has ended; nobody else does.
func TestStartsAnew(t *testing.T) {
	w := newWorld(t)
	first := w.service("bank-1.example", broker.InNames("bank"))
	if err := first.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.kill()
	if _, err := w.names("mallory.example").Register(t.Context(), names.Registration{Name: "bank", URI: "PYROSSL://bank-1.example/bank", Identity: "dns:bank-1.example"}); !errors.Is(err, names.ErrExists) {
		t.Errorf("another took it: %v", err)
	}
	second := w.service("bank-1.example", broker.InNames("bank"))
	if err := second.Announce(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestMoves: a name that another daemon serves later leads there.
func TestMoves(t *testing.T) {
	w := newWorld(t)
	first := w.service("bank-1.example", broker.InNames("bank"))
	if err := first.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := w.client("alice.example").Proxy(t.Context(), "PYRONAME://bank")
	if err != nil {
		t.Fatal(err)
	}
	if host, err := where(t.Context(), p); err != nil || host != "bank-1.example" {
		t.Fatal(host, err)
	}
	if err := first.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := w.service("bank-2.example", broker.InNames("bank"))
	if err := second.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if host, err := where(t.Context(), p); err != nil || host != "bank-2.example" {
		t.Errorf("got %q, %v", host, err)
	}
}

// TestGroup: several daemons serve one name; clients spread over them, and go to another
// one when theirs goes.
func TestGroup(t *testing.T) {
	w := newWorld(t)
	members := map[string]*service{}
	for i := range 3 {
		host := fmt.Sprintf("bank-%d.example", i)
		members[host] = w.service(host, broker.InGroup("bank", fmt.Sprint("n", i)))
		if err := members[host].Announce(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ns := w.names("alice.example")
	if found, err := ns.Lookup(t.Context(), "bank"); err != nil || len(found) != 3 {
		t.Fatalf("got %+v, %v", found, err)
	}
	hosts := map[string]int{}
	proxies := map[string]*broker.Proxy{}
	alice := w.client("alice.example")
	for range 60 {
		p, err := alice.Proxy(t.Context(), "PYRONAME://bank")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // it stays where it is
			host, err := where(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			hosts[host]++
			proxies[host] = p
		}
	}
	for host := range members {
		if hosts[host] == 0 || hosts[host]%3 != 0 {
			t.Errorf("%s had %d calls", host, hosts[host])
		}
	}
	members["bank-0.example"].kill()
	if host, err := where(t.Context(), proxies["bank-0.example"]); err != nil || host == "bank-0.example" {
		t.Errorf("after its daemon died: %q, %v", host, err)
	}
	if err := members["bank-1.example"].Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if host, err := where(t.Context(), proxies["bank-1.example"]); err != nil || host != "bank-2.example" {
		t.Errorf("after its daemon stopped: %q, %v", host, err)
	}
	if _, err := w.names("mallory.example").Register(t.Context(), names.Registration{Name: "bank", URI: "PYROSSL://mallory.example/bank"}); !errors.Is(err, names.ErrGroup) {
		t.Errorf("a group was taken by a single name: %v", err)
	}
}

// TestOwner: what is another's cannot be taken, changed or removed without a right of its
// own.
func TestOwner(t *testing.T) {
	w := newWorld(t,
		allow("all", names.Object, "*"), allow("all", "name:*", "lookup"), allow("all", "name:*", "register"),
		allow("dns:admin.example", "name:bank.*", "replace"), allow("dns:admin.example", "name:bank.*", "remove"))
	alice, mallory, admin := w.names("alice.example"), w.names("mallory.example"), w.names("admin.example")
	ctx := t.Context()
	const name = "bank.accounts"
	first, err := alice.Register(ctx, names.Registration{Name: name, URI: "PYROSSL://alice.example/bank"})
	if err != nil {
		t.Fatal(err)
	}
	is := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	register := func(c *names.Client, uri string, replace uint64) (names.Record, error) {
		return c.Register(ctx, names.Registration{Name: name, URI: uri, Replace: replace})
	}
	_, err = register(mallory, "PYROSSL://mallory.example/bank", 0)
	is("another registers it", err, names.ErrExists)
	_, err = register(mallory, "PYROSSL://mallory.example/bank", first.Revision)
	is("another replaces it", err, broker.KindDenied)
	is("another removes it", mallory.Remove(ctx, name, 0), broker.KindDenied)
	_, err = mallory.SetTags(ctx, name, 0, []string{"mine"})
	is("another tags it", err, broker.KindDenied)
	_, err = register(alice, "PYROSSL://alice.example/bank2", 0)
	is("its owner registers it again", err, names.ErrExists)
	_, err = register(alice, "PYROSSL://alice.example/bank2", first.Revision+1000)
	is("with a wrong revision", err, names.ErrChanged)
	second, err := register(alice, "PYROSSL://alice.example/bank2", first.Revision)
	if err != nil || second.Revision <= first.Revision || second.URI != "PYROSSL://alice.example:7766/bank2" {
		t.Errorf("its owner replaces it: %+v, %v", second, err)
	}
	_, err = register(alice, "PYROSSL://alice.example/bank3", first.Revision)
	is("and again with the old revision", err, names.ErrChanged)
	tagged, err := alice.SetTags(ctx, name, second.Revision, []string{"B", "a"})
	if err != nil || !slices.Equal(tagged.Tags, []string{"a", "b"}) {
		t.Errorf("its owner tags it: %+v, %v", tagged, err)
	}
	is("removed by an old revision", alice.Remove(ctx, name, second.Revision), names.ErrChanged)
	third, err := register(admin, "PYROSSL://admin.example/bank", tagged.Revision)
	if err != nil || third.Owner != "dns:admin.example" {
		t.Errorf("who may replace it does: %+v, %v", third, err)
	}
	is("it is not alice's any more", alice.Remove(ctx, name, 0), broker.KindDenied)
	is("its owner removes it", admin.Remove(ctx, name, third.Revision), nil)
	_, err = alice.Lookup(ctx, name)
	is("it is gone", err, names.ErrNotFound)
	is("and cannot be removed twice", admin.Remove(ctx, name, 0), names.ErrNotFound)
}

// TestVouch: a record says whom to meet, and that is the caller unless it may vouch for
// others.
func TestVouch(t *testing.T) {
	w := newWorld(t,
		allow("all", names.Object, "*"), allow("all", "name:*", "lookup"), allow("all", "name:*", "register"), allow("dns:admin.example", "name:*", "vouch"))
	r := names.Registration{Name: "bank", URI: "PYROSSL://bank-1.example/bank?id=dns:bank-1.example"}
	if _, err := w.names("mallory.example").Register(t.Context(), r); !errors.Is(err, broker.KindDenied) {
		t.Errorf("got %v", err)
	}
	got, err := w.names("admin.example").Register(t.Context(), r)
	if err != nil || got.Identity != "dns:bank-1.example" || got.URI != "PYROSSL://bank-1.example:7766/bank" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestLie: a name that leads to another server than the one it was registered for does
// not lead there, even though host and authority are right.
func TestLie(t *testing.T) {
	w := newWorld(t)
	s := w.service("bank-1.example", broker.InNames("bank"))
	if err := s.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	evil := w.service("mallory.example")
	if _, err := w.names("mallory.example").Register(t.Context(), names.Registration{
		Name: "lie", URI: "PYROSSL://mallory.example/bank", Identity: "dns:bank-1.example",
	}); err != nil {
		t.Fatal(err)
	}
	alice := w.client("alice.example")
	refused := func(uri string) {
		t.Helper()
		p, err := alice.Proxy(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		host, err := where(t.Context(), p)
		var denied *broker.ConnectionDeniedError
		if !errors.As(err, &denied) || denied.Check != validator.CheckPin {
			t.Errorf("%s: got %q, %v", uri, host, err)
		}
	}
	refused("PYRONAME://lie")
	w.at("bank-1.example", evil.Addr().String()) // a lying DNS, or a stolen address
	refused("PYRONAME://bank")
	w.at("bank-1.example", s.Addr().String())
	if _, err := w.names("mallory.example").Register(t.Context(), names.Registration{Name: "other", URI: "PYROSSL://mallory.example/bank"}); err != nil {
		t.Fatal(err)
	}
	refused("PYRONAME://other?id=dns:bank-1.example") // the caller knows whom it wants
}

// TestRights: nothing is allowed that no rule allows.
func TestRights(t *testing.T) {
	w := newWorld(t,
		allow("all", names.Object, "*"),
		allow("dns:alice.example", "name:bank.*", "register"), allow("dns:alice.example", "name:bank.*", "lookup"),
		allow("dns:alice.example", "name:bank.*", "list"), allow("dns:alice.example", "name:bank.*", "watch"))
	alice, mallory := w.names("alice.example"), w.names("mallory.example")
	ctx := t.Context()
	if _, err := alice.Register(ctx, names.Registration{Name: "bank.eu", URI: "PYROSSL://alice.example/bank"}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		who  *names.Client
		name string
		ok   bool
	}{{alice, "bank.us", true}, {alice, "bank", false}, {alice, "banks.us", false}, {alice, "other.us", false}, {mallory, "bank.us", false}} {
		_, err := test.who.Register(ctx, names.Registration{Name: test.name, URI: "PYROSSL://x.example/bank"})
		if test.ok && err != nil || !test.ok && !errors.Is(err, broker.KindDenied) {
			t.Errorf("register %s: %v", test.name, err)
		}
		if _, err = test.who.Lookup(ctx, test.name); test.ok && err != nil || !test.ok && !errors.Is(err, broker.KindDenied) {
			t.Errorf("lookup %s: %v", test.name, err)
		}
		if _, err = test.who.List(ctx, names.Query{Prefix: test.name}); !test.ok && test.name != "bank" && !errors.Is(err, broker.KindDenied) {
			t.Errorf("list %s: %v", test.name, err)
		}
	}
	if page, err := alice.List(ctx, names.Query{Prefix: "bank"}); err != nil || len(page.Records) != 2 {
		t.Errorf("list: %+v, %v", page, err)
	}
	if _, err := alice.List(ctx, names.Query{}); !errors.Is(err, broker.KindDenied) {
		t.Errorf("list of everything: %v", err)
	}
	for _, err := range mallory.Watch(ctx, "bank") {
		if !errors.Is(err, broker.KindDenied) {
			t.Errorf("watch: %v", err)
		}
	}
	p, err := w.client("mallory.example").Proxy(ctx, "PYRONAME://bank.eu")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := where(ctx, p); !errors.Is(err, broker.KindDenied) {
		t.Errorf("a name that may not be looked up: %v", err)
	}
}

// TestReviewed: watches, followed names and leases end when the right to them does.
func TestReviewed(t *testing.T) {
	w := newWorld(t)
	s := w.service("bank-1.example", broker.InNames("bank"))
	if err := s.Announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	ns := w.names("alice.example")
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		for c, err := range ns.Watch(t.Context(), "") {
			if c.Kind == "ready" {
				close(ready)
			}
			if err != nil {
				ended <- err
			}
		}
	}()
	<-ready
	bob := w.client("bob.example")
	p, err := bob.Proxy(t.Context(), "PYRONAME://bank")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := where(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	deny := func(who, object, method string) validator.Rule {
		r := allow(who, object, method)
		r.Effect = validator.Deny
		r.Name = "deny-" + r.Name
		return r
	}
	rules := []validator.Rule{allow("all", "*", "*"), deny("dns:alice.example", "name:*", "watch"), deny("dns:bob.example", "name:*", "lookup")}
	if err := w.rules.Replace(rules...); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, broker.KindDenied) {
			t.Errorf("the watch ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch goes on")
	}
	eventually(t, "bob's name is denied", func() bool {
		_, err := where(t.Context(), p)
		return errors.Is(err, broker.KindDenied)
	})
	if err := w.rules.Replace(rules[:2]...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "bob may look it up again", func() bool {
		_, err := where(t.Context(), p)
		return err == nil
	})
	if err := w.rules.Replace(append(rules[:1], allow("dns:alice.example", "name:*", "lookup"), deny("dns:bank-1.example", names.Object, "Renew"))...); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the lease is gone", func() bool {
		_, err := ns.Lookup(t.Context(), "bank")
		return errors.Is(err, names.ErrNotFound)
	})
}

// TestTags finds names by tags, in pages.
func TestTags(t *testing.T) {
	w := newWorld(t)
	ns := w.names("alice.example")
	const n = 250
	for i := range n {
		var tags []string
		for _, k := range []int{2, 3, 5} {
			if i%k == 0 {
				tags = append(tags, fmt.Sprint("by", k))
			}
		}
		if _, err := ns.Register(t.Context(), names.Registration{Name: fmt.Sprintf("n.%03d", i), URI: "PYROSSL://alice.example/x", Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ns.Register(t.Context(), names.Registration{Name: "n-other", URI: "PYROSSL://alice.example/x", Tags: []string{"by2"}}); err != nil {
		t.Fatal(err)
	}
	count := func(q names.Query) (found int) {
		last := ""
		for r, err := range ns.All(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Name <= last {
				t.Errorf("%s comes after %s", r.Name, last)
			}
			last = r.Name
			found++
		}
		return found
	}
	for _, test := range []struct {
		q    names.Query
		want int
	}{
		{names.Query{}, n + 1},
		{names.Query{Prefix: "n"}, n},
		{names.Query{Prefix: "n", Limit: 7}, n},
		{names.Query{Prefix: "n.00"}, 0},
		{names.Query{Prefix: "n.001"}, 1},
		{names.Query{Prefix: "n", All: []string{"by2", "BY3"}, Limit: 10}, 42},
		{names.Query{Prefix: "n", Any: []string{"by2", "by3"}}, 167},
		{names.Query{Prefix: "n", All: []string{"by5"}, Any: []string{"by2", "by3"}}, 33},
		{names.Query{All: []string{"none"}}, 0},
	} {
		if got := count(test.q); got != test.want {
			t.Errorf("%+v: got %d, want %d", test.q, got, test.want)
		}
	}
}

// TestRace: of many who register one name one succeeds, and the others are told whose it
// is.
func TestRace(t *testing.T) {
	w := newWorld(t)
	const racers, rounds = 8, 20
	won := make([][]string, rounds)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range racers {
		who := fmt.Sprintf("racer-%d.example", i)
		ns := w.names(who)
		wg.Go(func() {
			for round := range rounds {
				_, err := ns.Register(t.Context(), names.Registration{Name: fmt.Sprint("race.", round), URI: "PYROSSL://" + who + "/x"})
				switch {
				case err == nil:
					mu.Lock()
					won[round] = append(won[round], "dns:"+who)
					mu.Unlock()
				case !errors.Is(err, names.ErrExists):
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ns := w.names("alice.example")
	for round, winners := range won {
		found, err := ns.Lookup(t.Context(), fmt.Sprint("race.", round))
		if err != nil || len(winners) != 1 || found[0].Owner != winners[0] {
			t.Errorf("round %d: winners %v, owner %+v, %v", round, winners, found, err)
		}
	}
}

// TestRefused: what cannot be registered is refused with what is wrong, and nothing is
// entered.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	ns := w.names("alice.example")
	good := names.Registration{Name: "a", URI: "PYROSSL://alice.example/x"}
	for _, test := range []struct {
		name, want string
		change     func(*names.Registration)
	}{
		{"no name", "is empty", func(r *names.Registration) { r.Name = "" }},
		{"an empty level", "has an empty level", func(r *names.Registration) { r.Name = "a..b" }},
		{"a control character", "has other characters", func(r *names.Registration) { r.Name = "a\x00b" }},
		{"a wildcard", "has other characters", func(r *names.Registration) { r.Name = "a.*" }},
		{"a member's key", "has other characters", func(r *names.Registration) { r.Name = "a.=b" }},
		{"too long", "want at most 200", func(r *names.Registration) { r.Name = strings.Repeat("a", 201) }},
		{"too deep", "more than 16 levels", func(r *names.Registration) { r.Name = strings.Repeat("a.", 16) + "a" }},
		{"no URI", "is missing", func(r *names.Registration) { r.URI = "" }},
		{"plaintext", "plaintext", func(r *names.Registration) { r.URI = "PYRO://alice.example:7766/x" }},
		{"a name for a name", "want a PYROSSL://", func(r *names.Registration) { r.URI = "PYRONAME://b" }},
		{"no principal", "is no principal", func(r *names.Registration) { r.Identity = "alice" }},
		{"a tag with a space", `tag "a b"`, func(r *names.Registration) { r.Tags = []string{"a b"} }},
		{"many tags", "33 tags", func(r *names.Registration) { r.Tags = make([]string, 33) }},
		{"a daemon with dots", `daemon "a.b"`, func(r *names.Registration) { r.Daemon = "a.b" }},
		{"a group without a daemon", "needs a daemon's lease", func(r *names.Registration) { r.Group = true }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := good
			test.change(&r)
			if _, err := ns.Register(t.Context(), r); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if page, err := ns.List(t.Context(), names.Query{}); err != nil || len(page.Records) != 0 {
		t.Errorf("got %+v, %v", page, err)
	}
}

// TestLeases: a lease is its owner's.
func TestLeases(t *testing.T) {
	w := newWorld(t)
	alice, err := w.client("alice.example").NameServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mallory, err := w.client("mallory.example").NameServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lease names.Lease
	if err := alice.Call(t.Context(), "Renew", &lease, "d1"); err != nil || lease.TTL != w.ttl {
		t.Fatal(lease, err)
	}
	for _, method := range []string{"Renew", "Release"} {
		if err := mallory.Call(t.Context(), method, nil, "d1"); !errors.Is(err, names.ErrOwner) {
			t.Errorf("%s by another: %v", method, err)
		}
	}
	if _, err := names.New(mallory).Register(t.Context(), names.Registration{Name: "a", URI: "PYROSSL://mallory.example/x", Daemon: "d1"}); !errors.Is(err, names.ErrOwner) {
		t.Errorf("a record on another's lease: %v", err)
	}
	// Renewing for longer than the lease's time keeps it.
	ns := names.New(alice)
	if _, err := ns.Register(t.Context(), names.Registration{Name: "a", URI: "PYROSSL://alice.example/x", Daemon: "d1"}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(3 * w.ttl); time.Now().Before(end); time.Sleep(w.ttl / 4) {
		if err := alice.Call(t.Context(), "Renew", &lease, "d1"); err != nil || lease.Names != 1 {
			t.Fatal(lease, err)
		}
		if _, err := ns.Lookup(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
	}
	// And then it ends: a renewal keeps the time to live.
	eventually(t, "the lease ends", func() bool {
		_, err := ns.Lookup(t.Context(), "a")
		return errors.Is(err, names.ErrNotFound)
	})
}
