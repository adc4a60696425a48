package zoo

import (
	"math/rand/v2"
	"testing"

	"github.com/pyrossl/pyrossl/codec"
)

var ways = []way{
	newWay(pointer(zooAppendAccount), zooReadAccount),
	newWay(zooAppendAccountPointer, zooReadAccountPointer),
	newWay(zooAppendShelf, zooReadShelf),
	newWay(zooAppendPointPointerSlice, zooReadPointPointerSlice),
	newWay(zooAppendStringPointSliceMap, zooReadStringPointSliceMap),
	newWay(zooAppendNameParentMap, zooReadNameParentMap),
	newWay(zooAppendPointArray3, zooReadPointArray3),
	newWay(pointer(zooAppendOptional), zooReadOptional),
	newWay(pointer(zooAppendMixed), zooReadMixed),
	newWay(zooAppendHalfPointer, zooReadHalfPointer),
	newWay(zooAppendDeep, zooReadDeep),
	newWay(pointer(zooAppendPoint), zooReadPoint),
	newWay(zooAppendName, zooReadName),
	newWay(func(dst []byte, v Cents) ([]byte, error) { return codec.AppendInt(dst, int64(v)), nil }, zooReadCents),
	newWay(func(dst []byte, v [4]byte) ([]byte, error) { return codec.AppendBytes(dst, v[:]), nil }, zooReadUint8Array4),
}

func TestAppend(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for _, w := range ways {
		refused += w.compareAppends(t, r, 2000)
	}
	if refused < 100 {
		t.Errorf("only %d values were refused: they are not random enough", refused)
	}
}

func TestRead(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, w := range ways {
		if accepted, refused := w.compareReads(t, r, 1000); accepted < 1000 || refused < 20 {
			t.Errorf("%s: %d messages were accepted and %d refused: both should be many", w.name, accepted, refused)
		}
	}
}

// FuzzRead: the same for any bytes.
func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for i, w := range ways {
		for range 8 {
			if item, err := codec.Append(nil, w.random(r)); err == nil {
				f.Add(uint8(i), item)
				f.Add(uint8(i), mutate(r, item))
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, item []byte) {
		if codec.Check(item) == nil {
			ways[int(which)%len(ways)].compare(t, item)
		}
	})
}
