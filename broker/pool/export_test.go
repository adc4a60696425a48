package pool

import "math/rand/v2"

// Seeded makes a pool draw the same numbers each time.
func (c *Config) Seeded(seed uint64) {
	c.random = rand.New(rand.NewPCG(seed, 0)).Int64N // under the pool's mu
}
