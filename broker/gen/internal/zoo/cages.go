package zoo

import (
	"encoding"
	"iter"
	"net/netip"
	"time"
	"unsafe"

	"github.com/pyrossl/pyrossl/broker"
)

// Cages is what cannot be carried: each method has one argument, which package codec
// refuses. Generating code for it fails with the same reasons.
type Cages interface {
	Chan(c chan int)
	Receive(c <-chan Point)
	Func(f func(int, ...string) (bool, error))
	Complex(c complex64)
	Uintptr(p uintptr)
	Unsafe(p unsafe.Pointer)
	Methods(i interface{ Close() error })
	Text(t encoding.TextMarshaler)
	Pointers(p *****int)
	Inside(l []map[string]*Locked)
	Hidden(h Nothing)
	FloatKey(m map[float64]int)
	StructKey(m map[Point]int)
	PointerKey(m map[*int]int)
	TimeKey(m map[time.Time]int)
	Half(h HalfText)
	Promoted(p Promoted)
	Inlined(i Inlined)
	NamedUnexported(n NamedUnexported)
	UnexportedPointer(p UnexportedPointer)
	NotAnInt(n NotAnInt)
	Endless(e Endless)
	Indefinite(i Indefinite)
	Letters(l []Letter)
	LetterArray(l [3]Letter)
	Generic(g Page[chan bool])
	Twice(t Twice)
}

// Zoos has methods with streams and references that cannot be carried.
type Zoos interface {
	Two(a, b iter.Seq2[int, error])
	Rest(a iter.Seq2[int, error], rest ...int)
	Items(a iter.Seq2[chan int, error])
	Yields() iter.Seq2[func(), error]
	Proxies(p ...*broker.Proxy)
	Door(d interface{ Close() error })
}

// Locked has one field that cannot be carried.
type Locked struct {
	Fine int
	Lock chan struct{}
}

// Nothing would arrive empty.
type Nothing struct{ secret int }

var _ = Nothing{secret: 1}

// HalfText can be written and not be read.
type HalfText int

// MarshalText implements encoding.TextMarshaler.
func (HalfText) MarshalText() ([]byte, error) { return nil, nil }

// Promoted would be written as its time.
type Promoted struct {
	netip.Addr
	Port int
}

// Inlined inlines what has an encoding of its own.
type Inlined struct {
	A int
	*time.Time
}

type secret struct{ A int }

// NamedUnexported has a tag with a name where there can be none.
type NamedUnexported struct {
	secret `cbor:"secret"`
	B      int
}

// UnexportedPointer cannot be set.
type UnexportedPointer struct {
	*secret
	B int
}

// NotAnInt has no integer for a key.
type NotAnInt struct {
	A int `cbor:"a,keyasint"`
}

// Endless points to itself.
type Endless *Endless

// Indefinite asks for what is not carried.
type Indefinite struct {
	_ struct{} `cbor:",toindefarray"`
	A int
}

// Letter is a byte that writes itself.
type Letter byte

// MarshalText implements encoding.TextMarshaler.
func (l Letter) MarshalText() ([]byte, error) { return []byte{byte(l)}, nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Letter) UnmarshalText(text []byte) error { *l = Letter(text[0]); return nil }

// Twice has two fields to complain about; the first on the wire is named.
type Twice struct {
	Zebra chan int
	Ant   func()
}
