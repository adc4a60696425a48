package filetransfer

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// The sum becomes part of a file's name, on both sides.
func TestCheck(t *testing.T) {
	good := strings.Repeat("5f", 32)
	for _, c := range []struct {
		file File
		want error
	}{
		{File{"a", 0, good}, nil},
		{File{"a", 1 << 40, good}, nil},
		{File{"a", -1, good}, ErrRefused},
		{File{"a", 1, ""}, ErrRefused},
		{File{"a", 1, good[:62]}, ErrRefused},
		{File{"a", 1, good + "5f"}, ErrRefused},
		{File{"a", 1, "/../../../etc/x" + good[15:]}, ErrRefused},
	} {
		if err := c.file.Check(); !errors.Is(err, c.want) {
			t.Errorf("%+v: got %v, want %v", c.file, err, c.want)
		}
	}
}

func TestChunks(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		from io.Reader
		want error
	}{
		{"whole", bytes.NewReader(content), nil},
		{"in halves", iotest.HalfReader(bytes.NewReader(content)), nil},
		{"end with data", iotest.DataErrReader(bytes.NewReader(content)), nil},
		{"broken", io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)), broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []byte
			var last error
			for chunk, err := range Chunks(c.from) {
				got, last = append(got, chunk...), err
			}
			if !bytes.Equal(got, content) || last != c.want {
				t.Errorf("got %d bytes and %v, want %d and %v", len(got), last, len(content), c.want)
			}
		})
	}
}
