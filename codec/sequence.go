package codec

import "io"

// Sequence reads data items that follow one another (RFC 8742). The zero Sequence is
// empty. It reads from the bytes given to NewSequence, which must not change meanwhile.
type Sequence struct {
	data []byte
	off  int // where the next item begins
	left int // items from there on
}

// NewSequence checks all of data, as Check does for one item; the limit on items
// holds for all of them together. After this, reading fails only where an item does
// not fit what it is read into. It takes no memory unless it fails.
func NewSequence(data []byte) (Sequence, error) {
	c := checker{data: data}
	n := 0
	for off := 0; off < len(data); n++ {
		next, err := c.item(off, 0)
		if err != nil {
			return Sequence{}, located(err, data, nil, true)
		}
		off = next
	}
	return Sequence{data: data, left: n}, nil
}

// Len returns how many items are left.
func (s *Sequence) Len() int { return s.left }

// Next decodes the next item into the value that v points to. After an error the
// item is still the next one. When none is left, the error wraps io.EOF.
func (s *Sequence) Next(v any) error {
	if s.left == 0 {
		return s.end()
	}
	next, err := decode(s.data, s.off, v)
	if err != nil {
		return located(err, s.data, v, true)
	}
	s.off, s.left = next, s.left-1
	return nil
}

// Raw returns the bytes of the next item, which are part of the input, and moves on.
// When no item is left, the error wraps io.EOF.
func (s *Sequence) Raw() ([]byte, error) {
	if s.left == 0 {
		return nil, s.end()
	}
	start := s.off
	s.off, _ = skip(s.data, start)
	s.left--
	return s.data[start:s.off:s.off], nil
}

func (s *Sequence) end() error {
	return &Error{Offset: s.off, Reason: "the sequence has no more items", Err: io.EOF}
}
