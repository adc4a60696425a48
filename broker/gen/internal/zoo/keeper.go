package zoo

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Keeper implements Zoo: most methods return what they were given.
type Keeper struct{}

var _ Zoo = Keeper{}

// ErrGone is an error that clients can tell apart.
var ErrGone = errors.New("zoo: gone")

// Ping implements Zoo.
func (Keeper) Ping() {}

// Fail implements Zoo.
func (Keeper) Fail(ctx context.Context, how string) error {
	switch how {
	case "":
		return nil
	case "gone":
		return fmt.Errorf("the keeper is %w", ErrGone)
	case "panic":
		panic("the keeper fell")
	case "deadline":
		return context.DeadlineExceeded
	}
	return errors.New(how)
}

// Add implements Zoo.
func (Keeper) Add(_ context.Context, a int64, b uint8) (int64, error) { return a + int64(b), nil }

// Plain implements Zoo.
func (Keeper) Plain(_ context.Context, a bool, b int, c int8, d int16, e int32, f uint, g uint16, h uint32, i uint64, j float32, k float64, l string, m []byte, n time.Time) (string, error) {
	return fmt.Sprint(a, b, c, d, e, f, g, h, i, j, k, l, m, m == nil, n.UTC()), nil
}

// Echo implements Zoo.
func (Keeper) Echo(_ context.Context, data []byte) ([]byte, error) { return data, nil }

// Named implements Zoo.
func (Keeper) Named(_ context.Context, name Name, amount Cents, d time.Duration) (Name, error) {
	if amount == 1 {
		return "\xff", nil // which is no text
	}
	return name + Name(fmt.Sprint(amount, d)), nil
}

// Account implements Zoo.
func (Keeper) Account(_ context.Context, a Account) (Account, error) { return a, nil }

// Pointer implements Zoo.
func (Keeper) Pointer(_ context.Context, a *Account) (*Account, error) { return a, nil }

// Shelf implements Zoo.
func (Keeper) Shelf(_ context.Context, s Shelf) (Shelf, error) {
	if len(s) == 1 { // more items than a message may have
		return make(Shelf, 6000), nil
	}
	return s, nil
}

// List implements Zoo.
func (Keeper) List(_ context.Context, l []*Point) ([]*Point, error) { return l, nil }

// Table implements Zoo.
func (Keeper) Table(_ context.Context, t map[string][]Point) (map[string][]Point, error) {
	return t, nil
}

// Keyed implements Zoo.
func (Keeper) Keyed(_ context.Context, t map[Name]Parent) (map[Name]Parent, error) { return t, nil }

// Fixed implements Zoo.
func (Keeper) Fixed(_ context.Context, f [3]Point, d [4]byte) ([3]Point, error) {
	f[0].X = int32(d[0])
	return f, nil
}

// Optional implements Zoo.
func (Keeper) Optional(_ context.Context, o Optional) (Optional, error) { return o, nil }

// Mixed implements Zoo.
func (Keeper) Mixed(_ context.Context, m Mixed) (Mixed, error) { return m, nil }

// Left implements Zoo.
func (Keeper) Left(_ context.Context, l Left, p ByPointer) (Left, error) {
	if p.Base != nil {
		l.Base = *p.Base
	}
	return l, nil
}

// Tree implements Zoo.
func (Keeper) Tree(_ context.Context, t Tree) (Tree, error) { return t, nil }

// Couple implements Zoo.
func (Keeper) Couple(_ context.Context, c Couple) (*Half, error) { return c.Left, nil }

// Page implements Zoo.
func (Keeper) Page(_ context.Context, p Page[Account]) (Page[string], error) {
	out := Page[string]{Next: p.Next}
	for _, a := range p.Items {
		out.Items = append(out.Items, string(a.Owner))
	}
	return out, nil
}

// Any implements Zoo.
func (Keeper) Any(_ context.Context, v any) (any, error) { return v, nil }

// Deep implements Zoo.
func (Keeper) Deep(_ context.Context, d Deep) (Deep, error) { return d, nil }

// Anonymous implements Zoo.
func (Keeper) Anonymous(_ context.Context, v struct {
	A int `json:"a"`
	B []byte
}) (int, error) {
	return v.A + len(v.B), nil
}

// Variadic implements Zoo.
func (Keeper) Variadic(_ context.Context, first string, rest ...Cents) (Cents, error) {
	if rest == nil {
		return -1, nil
	}
	sum := Cents(len(first))
	for _, c := range rest {
		sum += c
	}
	return sum, nil
}

// VariadicPoints implements Zoo.
func (Keeper) VariadicPoints(rest ...Point) int { return len(rest) }

// Blobs implements Zoo.
func (Keeper) Blobs(_ context.Context, blobs ...[]byte) (int, error) {
	n := 0
	for _, b := range blobs {
		n += len(b)
	}
	return n, nil
}

// Awkward implements Zoo.
func (Keeper) Awkward(_ context.Context, d string, v, err, r int, codec, string bool, p Point) (in int, out error) {
	if codec && string {
		return 0, errors.New(d)
	}
	return v + err + r + int(p.X), nil
}

// NoContext implements Zoo.
func (Keeper) NoContext(a string) (string, error) { return a, nil }

// NoError implements Zoo.
func (Keeper) NoError(_ context.Context, a string) string { return a }
