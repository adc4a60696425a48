// Package wire is the PYROSSL/1 protocol as bytes: frame headers, the call
// envelope and the control messages of docs/protocol.md. It starts no
// goroutine, holds no state and decides nothing about who may do what.
package wire

import (
	"encoding/binary"
	"fmt"
)

// Sizes of the framing layer. PROTOCOL §3.1.
const (
	// HeaderSize is the length of a frame header in bytes.
	HeaderSize = 9
	// MaxFrame bounds a frame, header included. Four full TLS records: large
	// enough that a bulk transfer costs few headers, small enough that a small
	// call never waits for more than this behind one.
	MaxFrame = 64 << 10
	// MaxPayload is what fits behind the header of one frame.
	MaxPayload = MaxFrame - HeaderSize
	// TotalSize is the length of the total that starts a fragmented message.
	TotalSize = 4
	// MaxHandshake bounds the payload of every frame before the verdict.
	MaxHandshake = 4 << 10
	// CreditSize is the length of the payload of a Credit frame.
	CreditSize = 4
)

// Credit of streams. PROTOCOL §5.8.
const (
	// FirstCredit is what the sender of a stream may send before any Credit frame.
	FirstCredit = 64 << 10
	// ItemCost is what an item costs beside its length, so that credit bounds the
	// number of items, too.
	ItemCost = 64
)

// Type says what a frame is. Numbers are only ever appended. PROTOCOL §3.2.
type Type uint8

// Frame types. Those from Optional on may be ignored by who does not know them;
// any other unknown type ends the connection.
const (
	Challenge Type = 0x01 // server: an identification is asked for, or goes on
	Ident     Type = 0x02 // client: the answer to a Challenge
	Welcome   Type = 0x03 // server: the verdict, accepted
	Deny      Type = 0x04 // server: the verdict, refused
	Hello     Type = 0x05 // client: its limits, the first frame after Welcome

	Call   Type = 0x10 // a call, or its first fragment
	Result Type = 0x11 // the result of a call, or its first fragment
	Error  Type = 0x12 // a call that failed
	Data   Type = 0x13 // the next fragment of a Call, Result or Item
	Cancel Type = 0x14 // the caller no longer waits
	Item   Type = 0x15 // the next item of a stream, or its first fragment
	Credit Type = 0x16 // the receiver of a stream takes so many bytes more, or, if 0, no more
	End    Type = 0x17 // the caller's stream has ended

	Ping   Type = 0x20 // a heartbeat; it has no answer
	GoAway Type = 0x21 // no new calls, or the end of the session with its reason

	Optional Type = 0x80
)

var typeNames = map[Type]string{
	Challenge: "challenge", Ident: "ident", Welcome: "welcome", Deny: "deny", Hello: "hello",
	Call: "call", Result: "result", Error: "error", Data: "data", Cancel: "cancel",
	Item: "item", Credit: "credit", End: "end", Ping: "ping", GoAway: "goaway",
}

// String returns the name that docs/protocol.md uses.
func (t Type) String() string {
	if n, ok := typeNames[t]; ok {
		return n
	}
	return fmt.Sprintf("type 0x%02x", uint8(t))
}

// Flags modify a frame. PROTOCOL §3.3.
type Flags uint8

// Frame flags.
const (
	More   Flags = 0x01 // further fragments of this message follow in Data frames
	Oneway Flags = 0x02 // Call: the caller waits for no result
	Retry  Flags = 0x04 // Call: it may have run before; only an idempotent method accepts it
	Sends  Flags = 0x08 // Call: a stream from the caller follows
	Wants  Flags = 0x10 // Call: the caller takes a stream
	Batch  Flags = 0x20 // Call: the arguments are calls themselves
)

// allowed are the flags that each frame type may carry; any other is an error.
var allowed = [256]Flags{
	Call:   More | Oneway | Retry | Sends | Wants | Batch,
	Result: More,
	Data:   More,
	Item:   More,
}

// Header is the start of every frame.
type Header struct {
	Length int // bytes of payload behind the header
	Type   Type
	Flags  Flags
	ID     uint32 // the call it belongs to; 0 for the connection itself
}

// AppendHeader appends the nine bytes of h: length (24 bits), type, flags and
// id, all big-endian. PROTOCOL §3.1.
func AppendHeader(dst []byte, h Header) []byte {
	return append(dst,
		byte(h.Length>>16), byte(h.Length>>8), byte(h.Length), byte(h.Type), byte(h.Flags),
		byte(h.ID>>24), byte(h.ID>>16), byte(h.ID>>8), byte(h.ID))
}

// PutHeader writes h to the first HeaderSize bytes of b.
func PutHeader(b []byte, h Header) { AppendHeader(b[:0], h) }

// ParseHeader reads a header from the first HeaderSize bytes of b and checks
// everything that does not depend on the state of the connection.
func ParseHeader(b []byte) (Header, error) {
	_ = b[HeaderSize-1]
	h := Header{
		Length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		Type:   Type(b[3]),
		Flags:  Flags(b[4]),
		ID:     binary.BigEndian.Uint32(b[5:]),
	}
	switch {
	case h.Length > MaxPayload:
		return h, fmt.Errorf("wire: %v frame of %d bytes, at most %d are allowed", h.Type, h.Length, MaxPayload)
	case h.Type >= Optional:
		return h, nil
	case typeNames[h.Type] == "":
		return h, fmt.Errorf("wire: unknown frame type 0x%02x", uint8(h.Type))
	case h.Flags&^allowed[h.Type] != 0:
		return h, fmt.Errorf("wire: %v frame with unknown flags 0x%02x", h.Type, uint8(h.Flags&^allowed[h.Type]))
	}
	return h, nil
}

// AppendCredit appends a whole Credit frame.
func AppendCredit(dst []byte, id uint32, n int) []byte {
	dst = AppendHeader(dst, Header{Length: CreditSize, Type: Credit, ID: id})
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

// ParseCredit reads the payload of a Credit frame.
func ParseCredit(p []byte) (int, error) {
	if len(p) != CreditSize {
		return 0, fmt.Errorf("wire: credit of %d bytes, want %d", len(p), CreditSize)
	}
	n := binary.BigEndian.Uint32(p)
	if n > 1<<31-1 {
		return 0, fmt.Errorf("wire: credit for %d bytes, at most %d are allowed", n, 1<<31-1)
	}
	return int(n), nil
}

// CallID composes the id of a call. The caller chooses slot, generation and
// side; slot stays taken until the answer arrives, and generation tells its
// successive calls apart, so that a late frame can never meet the wrong call.
// PROTOCOL §3.4: generation (18 bits) | slot (13 bits) | side (1 bit).
func CallID(generation uint32, slot int, side Side) uint32 {
	return generation<<14 | uint32(slot&(MaxSlots-1))<<1 | uint32(side)
}

// MaxSlots bounds the calls in flight in one direction of a connection.
const MaxSlots = 1 << 13

// Side tells which end started a call.
type Side uint32

// The two ends of a connection.
const (
	ClientSide Side = 0
	ServerSide Side = 1
)

// Slot returns the slot of a call id.
func Slot(id uint32) int { return int(id>>1) & (MaxSlots - 1) }

// SideOf returns the end that started the call.
func SideOf(id uint32) Side { return Side(id & 1) }

// AppendTotal appends the length of a whole fragmented message, which starts
// the payload of its first frame. PROTOCOL §3.5.
func AppendTotal(dst []byte, n int) []byte { return binary.BigEndian.AppendUint32(dst, uint32(n)) }

// ParseTotal reads the length of a whole message from the start of its first
// fragment, of which first bytes follow.
func ParseTotal(b []byte, first int) (int, error) {
	n := binary.BigEndian.Uint32(b[:TotalSize])
	if uint64(n) <= uint64(first) || n > 1<<31-1 {
		return 0, fmt.Errorf("wire: fragmented message of %d bytes in all, with %d in its first frame", n, first)
	}
	return int(n), nil
}
