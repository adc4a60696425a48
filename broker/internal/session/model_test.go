package session

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// FuzzLifecycle runs programs between two sessions.
func FuzzLifecycle(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(runPair)
}

// FuzzHostilePeer runs programs against one session.
func FuzzHostilePeer(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(runPeer)
}

// soak returns how many random programs to run and the first seed. With SOAK=n in the
// environment they are n, and others each time.
func soak(t *testing.T, usual int) (n int, seed uint64) {
	n, err := strconv.Atoi(os.Getenv("SOAK"))
	if err != nil || n <= 0 {
		return usual, 1
	}
	return n, uint64(time.Now().UnixNano())
}

func randomProgram(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 1+r.IntN(400))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestLifecycle runs random programs between two sessions.
func TestLifecycle(t *testing.T) {
	n, first := soak(t, 1000)
	for i := range n {
		seed := first + uint64(i)
		if log := os.Getenv("SOAK_LOG"); log != "" { // for what ends the process
			os.WriteFile(log, randomProgram(seed), 0o600)
		}
		if runPair(t, randomProgram(seed)); t.Failed() {
			t.Fatalf("random program %d failed", seed)
		}
	}
	t.Log(stats)
}

// TestHostilePeer runs random programs against one session.
func TestHostilePeer(t *testing.T) {
	n, first := soak(t, 1000)
	for i := range n {
		seed := first + uint64(i)
		if log := os.Getenv("SOAK_LOG"); log != "" { // for what ends the process
			os.WriteFile(log, randomProgram(seed), 0o600)
		}
		if runPeer(t, randomProgram(seed)); t.Failed() {
			t.Fatalf("random program %d failed", seed)
		}
	}
}
