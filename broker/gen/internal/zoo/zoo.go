// Package zoo has an interface with every kind of type that a method may carry. Its
// generated code is compared with the reflection of packages codec and broker.
package zoo

import (
	"context"
	"math/big"
	"net/netip"
	"time"
)

// Cents is an amount.
type Cents int64

// Name is text with a type.
type Name string

// State is a byte with a type.
type State uint8

// Base is embedded.
type Base struct {
	ID      int64 `cbor:"id"`
	Created time.Time
}

type inner struct {
	Depth int `json:"depth,omitempty"`
}

// Account is what most methods are about.
type Account struct {
	Base
	inner
	Owner   Name    `cbor:"owner"`
	Balance Cents   `json:"balance,omitempty"`
	Rate    float64 `cbor:"rate,omitempty"`
	Small   float32
	Open    bool   `cbor:"open"`
	Hash    []byte `cbor:"hash,omitempty"`
	Digest  [4]byte
	Tags    []string
	Limits  map[string]uint32 `cbor:"limits"`
	Parent  *Parent           `cbor:"parent,omitempty"`
	Rows    [][]int16
	Pair    [2]Cents
	State   State
	When    *time.Time
	Nick    *string `cbor:"nick"`
	Skipped string  `cbor:"-"`
	hidden  int
}

var _ = Account{hidden: 1}

// Parent is pointed to.
type Parent struct {
	Name Name  `cbor:"1,keyasint"`
	Age  uint8 `cbor:"-3,keyasint"`
	Far  Point `cbor:"20,keyasint"`
}

// Point is carried as an array.
type Point struct {
	_    struct{} `cbor:",toarray"`
	X, Y int32
	Note string `cbor:",omitempty"`
}

// Optional has fields that may be left out.
type Optional struct {
	A bool             `cbor:",omitempty"`
	B int8             `cbor:",omitzero"`
	C string           `cbor:"quo\"te,omitempty"`
	D []int            `cbor:",omitzero"`
	E map[string]Point `cbor:",omitempty"`
	F *Point           `cbor:",omitempty,omitzero"`
	G any              `cbor:",omitempty"`
	H uint64           `cbor:"été"`
}

// Mixed has fields that are left to reflection.
type Mixed struct {
	Any   any
	Big   *big.Int
	Addr  netip.Addr
	ByInt map[int]string
	Names map[Name]Name
}

// Left is left to reflection as a whole: its omitempty is about a struct.
type Left struct {
	Base Base `cbor:",omitempty"`
	N    int
}

// ByPointer embeds a pointer.
type ByPointer struct {
	*Base
	Label string
}

// Tree contains itself.
type Tree struct {
	Value int
	Kids  []Tree
}

// Couple and Half contain each other.
type Couple struct{ Left *Half }

// Half is half a Couple.
type Half struct {
	Of   *Couple
	Size int
}

// Shelf is a slice with a name.
type Shelf []Account

// Page is generic.
type Page[T any] struct {
	Items []T
	Next  string
}

// Deep nests.
type Deep [][][][]Point

//go:generate go run github.com/pyrossl/pyrossl/cmd/broker gen --interface Zoo --policy zoo.yaml

// Zoo is carried in all ways.
type Zoo interface {
	// Ping has nothing.
	Ping()
	// Fail returns an error only.
	Fail(ctx context.Context, how string) error
	// Add has the plain types.
	//
	//pyrossl:idempotent
	Add(ctx context.Context, a int64, b uint8) (int64, error)
	Plain(ctx context.Context, a bool, b int, c int8, d int16, e int32, f uint, g uint16, h uint32, i uint64, j float32, k float64, l string, m []byte, n time.Time) (string, error)
	// Echo sends bytes from where they lie.
	//
	//pyrossl:idempotent
	Echo(ctx context.Context, data []byte) ([]byte, error)
	Named(ctx context.Context, name Name, amount Cents, d time.Duration) (Name, error)
	Account(ctx context.Context, a Account) (Account, error)
	Pointer(ctx context.Context, a *Account) (*Account, error)
	Shelf(ctx context.Context, s Shelf) (Shelf, error)
	List(ctx context.Context, l []*Point) ([]*Point, error)
	Table(ctx context.Context, t map[string][]Point) (map[string][]Point, error)
	Keyed(ctx context.Context, t map[Name]Parent) (map[Name]Parent, error)
	Fixed(ctx context.Context, f [3]Point, d [4]byte) ([3]Point, error)
	Optional(ctx context.Context, o Optional) (Optional, error)
	Mixed(ctx context.Context, m Mixed) (Mixed, error)
	Left(ctx context.Context, l Left, p ByPointer) (Left, error)
	Tree(ctx context.Context, t Tree) (Tree, error)
	Couple(ctx context.Context, c Couple) (*Half, error)
	Page(ctx context.Context, p Page[Account]) (Page[string], error)
	Any(ctx context.Context, v any) (any, error)
	Deep(ctx context.Context, d Deep) (Deep, error)
	Anonymous(ctx context.Context, v struct {
		A int `json:"a"`
		B []byte
	}) (int, error)
	Variadic(ctx context.Context, first string, rest ...Cents) (Cents, error)
	VariadicPoints(rest ...Point) int
	Blobs(ctx context.Context, blobs ...[]byte) (int, error)
	// Awkward has names that the code uses itself.
	Awkward(ctx context.Context, d string, v, err, r int, codec, string bool, _ Point) (in int, out error)
	NoContext(a string) (string, error)
	NoError(ctx context.Context, a string) string
}
