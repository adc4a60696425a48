package ca

import "bytes"

// onePhrase asks for a passphrase once, however many keys it opens. forget overwrites
// it.
type onePhrase struct {
	ask    func() ([]byte, error)
	phrase []byte
}

// once gives what asks, or nil where nobody can be asked.
func (o *onePhrase) once() func() ([]byte, error) {
	if o.ask == nil {
		return nil
	}
	return func() ([]byte, error) {
		if o.phrase == nil {
			phrase, err := askPassphrase(o.ask)
			if err != nil {
				return nil, err
			}
			o.phrase = phrase
		}
		return bytes.Clone(o.phrase), nil // whoever is given it overwrites it
	}
}

func (o *onePhrase) forget() { clear(o.phrase) }
