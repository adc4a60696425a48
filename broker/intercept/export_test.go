package intercept

import "github.com/pyrossl/pyrossl/broker"

// RateOf is Rate, and how many keys it remembers.
func RateOf(c RateConfig) (broker.Interceptor, func() int) {
	l := newRateLimit(c)
	return l.intercept, func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.of) != l.recent.Len() {
			panic("the map and the list differ")
		}
		return len(l.of)
	}
}

// ConcurrencyOf is Concurrency, and how many keys it holds.
func ConcurrencyOf(c ConcurrencyConfig) (broker.Interceptor, func() int) {
	l := newConcurrencyLimit(c)
	return l.intercept, func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.running)
	}
}

var (
	OutcomeText  = outcomeText
	OutcomeIndex = outcomeIndex
)
