package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"path/filepath"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/examples/filetransfer"
)

// transfer moves one file.
type transfer struct {
	store *broker.Proxy
	limit int // bytes per second, 0 for none
}

// get writes a file of the store into the working directory.
func (t *transfer) get(ctx context.Context, name string) error {
	var file filetransfer.File
	if err := t.store.Call(ctx, "Stat", &file, name); err != nil {
		return err
	}
	if err := file.Check(); err != nil {
		return err
	}
	base := path.Base(name)
	if _, err := os.Lstat(base); err == nil {
		return fmt.Errorf("%s exists", base)
	}
	part := filetransfer.PartName(base, file.Sum)
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	offset, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	bar := begin(offset, file.Size, t.limit)
	for chunk, err := range bar.count(ctx, broker.Stream[[]byte](ctx, t.store, "Get", name, offset)) {
		if err != nil {
			return err // what has arrived is kept
		}
		if offset += int64(len(chunk)); offset > file.Size {
			return fmt.Errorf("%w: %s has more than %d bytes", filetransfer.ErrChanged, base, file.Size)
		}
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if sum, err := filetransfer.Sum(f); err != nil || sum != file.Sum {
		os.Remove(part)
		return errors.Join(fmt.Errorf("%w: %s", filetransfer.ErrChanged, base), err)
	}
	if err := os.Link(part, base); err != nil { // which replaces nothing, as renaming would
		return err
	}
	if err := os.Remove(part); err != nil {
		return err
	}
	fmt.Println("got", base, "sha256", file.Sum)
	return nil
}

// put sends a file to the store, under the same name.
func (t *transfer) put(ctx context.Context, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	sum, err := filetransfer.Sum(f)
	if err != nil {
		return err
	}
	file := filetransfer.File{Name: filepath.Base(from), Size: info.Size(), Sum: sum}
	var offset int64
	if err := t.store.Call(ctx, "Have", &offset, file); err != nil {
		return err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	bar := begin(offset, file.Size, t.limit)
	var chunks iter.Seq2[[]byte, error] = bar.count(ctx, filetransfer.Chunks(f))
	if err := t.store.Call(ctx, "Put", nil, file, offset, chunks); err != nil {
		return err
	}
	fmt.Println("put", file.Name, "sha256", file.Sum)
	return nil
}
