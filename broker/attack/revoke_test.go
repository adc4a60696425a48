package attack

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/internal/testca"
	"github.com/pyrossl/pyrossl/validator"
)

// crowd is a daemon with many live connections: of a victim, whose reasons end, and of
// bystanders.
type crowd struct {
	*testing.T
	w          *world
	ca, other  *pki
	source     *swapped
	validator  *validator.Default
	rules      *validator.Rules
	server     testca.Pair
	victim     testca.Pair
	bystander  testca.Pair
	victims    []*member
	bystanders []*member
}

// member is a client with a call in flight.
type member struct {
	client *broker.Client
	proxy  *broker.Proxy
	cancel context.CancelFunc
	done   chan struct{}
	err    error     // of the call
	ended  time.Time // when it came
}

// revocation is a reason that ends. prepare makes the victim's certificate, if it is not
// like any other; fire ends the reason, or is nil when time does.
type revocation struct {
	name    string
	check   validator.Check // empty when calls end, and connections do not
	prepare func(c *crowd)
	fire    func(c *crowd)
}

func (c *crowd) deny(entry string) {
	c.source.revoke(c, certs.RevocationConfig{Deny: denyList(c, entry)})
}

var revocations = []revocation{
	{name: "serial number on a list", check: validator.CheckRevocation, fire: func(c *crowd) {
		c.source.revoke(c, certs.RevocationConfig{CRLs: parseCRL(c, c.ca.crl(c, c.victim.Chain[0]))})
	}},
	{name: "key denied", check: validator.CheckRevocation, fire: func(c *crowd) {
		c.deny(fmt.Sprintf("key %x", sha256.Sum256(c.victim.Chain[0].RawSubjectPublicKeyInfo)))
	}, prepare: func(c *crowd) {
		c.ca.key(c, "stolen")
		c.victim = c.ca.pair(c, request{key: "stolen", subject: "/CN=victim", extensions: clientExtensions("victim@bank.example")})
	}},
	{name: "name denied", check: validator.CheckRevocation, fire: func(c *crowd) { c.deny("principal email:victim@bank.example") }},
	{name: "authority removed", check: validator.CheckChain, prepare: func(c *crowd) {
		c.victim = c.other.Client(c, "victim@bank.example")
	}, fire: func(c *crowd) { c.source.p.Store(material(c, c.server, c.ca.root)) }},
	{name: "mapping changed", check: validator.CheckIdentity, fire: func(c *crowd) {
		m, err := validator.NewMapper(validator.MapRule{Name: "bystander", Match: validator.Email, Pattern: `(bystander)@bank\.example`, As: "email:bystander@bank.example"})
		if err != nil {
			c.Fatal(err)
		}
		c.validator.SetIdentities(m)
	}},
	{name: "rules changed", fire: func(c *crowd) {
		if err := c.rules.Replace(allow("email:bystander@bank.example")); err != nil {
			c.Fatal(err)
		}
	}},
	{name: "certificate expired", check: validator.CheckDates, prepare: func(c *crowd) {
		lasts := time.Duration(scaled(6, 20)) * time.Second
		c.victim = c.ca.pair(c, request{subject: "/CN=victim", extensions: clientExtensions("victim@bank.example"), to: time.Now().Add(lasts)})
	}},
}

func clientExtensions(name string) string {
	return leafExtensions + "extendedKeyUsage=clientAuth\nsubjectAltName=email:" + name
}

// TestRevocationsUnderLoad: of many live connections, those whose reasons end are closed,
// each with the reason and an incident that the daemon has too. The others notice nothing.
func TestRevocationsUnderLoad(t *testing.T) {
	ca, other := newPKI(t, "ours"), newPKI(t, "another")
	for _, r := range revocations {
		t.Run(r.name, func(t *testing.T) {
			c := &crowd{T: t, ca: ca, other: other, source: new(swapped)}
			c.gather(r)
			begin := c.victim.Chain[0].NotAfter
			if r.fire != nil {
				begin = time.Now()
				r.fire(c)
			}
			c.testVictims(r, begin)
			c.testBystanders()
		})
	}
}

// gather makes the daemon and everybody's connections: one in ten is a bystander.
func (c *crowd) gather(r revocation) {
	c.server = c.ca.Server(c, "localhost")
	c.victim, c.bystander = c.ca.Client(c, "victim@bank.example"), c.ca.Client(c, "bystander@bank.example")
	c.source.p.Store(material(c, c.server, c.ca.root, c.other.root))
	if r.prepare != nil {
		r.prepare(c)
	}
	c.validator, c.rules = admit(c, validator.Config{MaxConnections: 2000}), rules(c, allow("*"))
	c.w = newWorld(c.T, c.ca, func(config *broker.Config) {
		config.Certs, config.Validator, config.Authorizer = c.source, c.validator, c.rules
		config.MaxHandshakesPerAddress = 256
	})
	total := scaled(50, 1000)
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range next {
				m := c.join(i%10 == 0)
				mu.Lock()
				if i%10 == 0 {
					c.bystanders = append(c.bystanders, m)
				} else {
					c.victims = append(c.victims, m)
				}
				mu.Unlock()
			}
		})
	}
	for i := range total {
		next <- i
	}
	close(next)
	wg.Wait()
	eventually(c, "every call runs", func() bool { return c.w.metric("calls_in_flight") == fmt.Sprint(total) })
}

// join connects a client, and leaves a call in flight.
func (c *crowd) join(bystander bool) *member {
	pair := c.victim
	if bystander {
		pair = c.bystander
	}
	m := &member{client: c.w.client(pair, nil), done: make(chan struct{})}
	m.proxy = c.w.proxy(m.client, "target")
	if err := m.proxy.Call(c.Context(), "Nothing", nil); err != nil {
		c.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	m.cancel = cancel
	go func() { // ends with the reasons, or with cancel
		defer close(m.done)
		m.err = m.proxy.Call(ctx, "Wait", nil)
		m.ended = time.Now()
	}()
	return m
}

// testVictims waits until every one has lost its call, for the reason.
func (c *crowd) testVictims(r revocation, begin time.Time) {
	c.Helper()
	incidents := make(map[string]bool)
	took := make([]time.Duration, 0, len(c.victims))
	patient := time.After(time.Until(begin) + time.Minute)
	for i, m := range c.victims {
		select {
		case <-m.done:
		case <-patient:
			c.Fatalf("victim %d of %d is still served", i, len(c.victims))
		}
		printed.error(m.err)
		var e *broker.Error
		kind := broker.KindLost
		if r.check == "" {
			kind = broker.KindDenied
		}
		if !errors.As(m.err, &e) || e.Kind != kind || !strings.Contains(e.Message, string(r.check)) || e.Incident == "" || incidents[e.Incident] {
			c.Errorf("a victim is told %v, want %v for %s and an incident of its own", m.err, kind, r.check)
			continue
		}
		incidents[e.Incident] = true
		took = append(took, m.ended.Sub(begin))
		m.cancel()
	}
	c.Logf("%s: %d of %d connections; from the trigger to the end as the client sees it: p50 %v, p99 %v, last %v",
		r.name, len(c.victims), len(c.victims)+len(c.bystanders), quantile(took, 0.5), quantile(took, 0.99), quantile(took, 1))
	lines := c.w.log.find(func(l line) bool { return incidents[l.attrs["incident"]] })
	if len(lines) != len(c.victims) {
		c.Errorf("%d lines for %d victims", len(lines), len(c.victims))
	}
	remain := len(c.bystanders)
	if r.check == "" {
		remain += len(c.victims)
	}
	eventually(c, "no victim remains", func() bool {
		return c.w.metric("sessions") == fmt.Sprint(remain) && c.w.metric("calls_in_flight") == fmt.Sprint(len(c.bystanders))
	})
	if r.check != "" {
		var denied *broker.ConnectionDeniedError
		if err := c.victims[0].proxy.Call(c.Context(), "Nothing", nil); !errors.As(err, &denied) || denied.Check != r.check {
			c.Errorf("a victim comes back and gets %v, want check %s", err, r.check)
		}
	} else if err := c.victims[0].proxy.Call(c.Context(), "Nothing", nil); !errors.Is(err, broker.KindDenied) {
		c.Errorf("a victim calls again and gets %v, want denied", err)
	}
	for _, m := range c.victims {
		m.client.Close()
	}
}

// testBystanders sees that nobody's call has ended, and that everybody can make another.
func (c *crowd) testBystanders() {
	c.Helper()
	for _, m := range c.bystanders {
		select {
		case <-m.done:
			c.Errorf("a bystander's call ended: %v", m.err)
		default:
		}
		if err := m.proxy.Call(c.Context(), "Nothing", nil); err != nil {
			c.Errorf("a bystander: %v", err)
		}
		m.cancel()
		<-m.done
		m.client.Close()
	}
	c.w.alive(c.bystander)
}
