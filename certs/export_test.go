package certs

// CheckRevocation is what refusals for revocation are called.
const CheckRevocation = checkRevocation

// Forget empties the memory of verified chains, so that the next check is a full one.
func (m *Material) Forget() {
	m.chains.mu.Lock()
	defer m.chains.mu.Unlock()
	m.chains.known = nil
}

// Remembering is the same material with the other's memory of verified chains, as the
// materials of one FileSource have it.
func (m *Material) Remembering(other *Material) *Material { return m.with(m.revocations, other.chains) }
