package engine

import "sync"

// slot keeps the last error.
type slot struct {
	mu  sync.Mutex
	err error
}

func (s *slot) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *slot) get() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
