package pool

import (
	"errors"
	"fmt"
	"time"

	"github.com/pyrossl/pyrossl/broker"
)

// made makes members of URIs, each once. Those that cannot be called are in the error.
func (p *Pool) made(uris []string) ([]*member, error) {
	var all []*member
	var wrong []error
	seen := make(map[string]bool)
	options := append(p.config.Options[:len(p.config.Options):len(p.config.Options)], broker.Idempotent(p.config.Idempotent...))
	for _, text := range uris {
		proxy, err := p.client.Proxy(p.ctx, text, options...)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("pool: daemon %q: %w", text, err))
			continue
		}
		if uri := proxy.URI().String(); !seen[uri] {
			seen[uri] = true
			all = append(all, &member{pool: p, uri: uri, proxy: proxy})
		}
	}
	return all, errors.Join(wrong...)
}

// update replaces the list. Daemons that stay in it keep their state.
func (p *Pool) update(uris []string) {
	next, err := p.made(uris)
	if err != nil {
		p.log.Warn("daemons left out", "error", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	before := make(map[string]*member, len(p.members))
	for _, m := range p.members {
		before[m.uri] = m
	}
	for i, m := range next {
		if known := before[m.uri]; known != nil {
			next[i] = known
			delete(before, m.uri)
		}
	}
	p.members, p.resolved = next, true
	for _, m := range before {
		m.leave()
	}
	p.changed()
}

// resolve runs Config.Resolve until the pool is closed.
func (p *Pool) resolve() {
	const first, longest, good = time.Second, 30 * time.Second, time.Minute
	for wait := first; ; wait = min(2*wait, longest) {
		begun := time.Now()
		err := p.config.Resolve(p.ctx, p.update)
		if err == nil || p.ctx.Err() != nil {
			return
		}
		if time.Since(begun) > good {
			wait = first
		}
		p.log.Warn("Resolve failed, and is called again", "error", err, "in", wait)
		if _, err := sleep(p.ctx, wait, nil); err != nil {
			return
		}
	}
}
