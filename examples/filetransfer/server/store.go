package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log"
	"os"
	"strings"
	"sync"

	"github.com/pyrossl/pyrossl/examples/filetransfer"
)

// Store exports the files of one directory. Callers choose names, and os.Root sees to it
// that they choose none outside: not by "..", not by a link.
type Store struct {
	root    *os.Root
	largest int64 // bytes of a file

	mu     sync.Mutex
	coming map[string]bool // parts that somebody is sending
}

// List lists the files, without their sums.
func (s *Store) List() ([]filetransfer.File, error) {
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	files := []filetransfer.File{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && !hidden(e.Name()) {
			files = append(files, filetransfer.File{Name: e.Name(), Size: info.Size()})
		}
	}
	return files, nil
}

// Stat reads a file to tell what is in it.
func (s *Store) Stat(name string) (filetransfer.File, error) {
	f, size, err := s.open(name)
	if err != nil {
		return filetransfer.File{}, err
	}
	defer f.Close()
	sum, err := filetransfer.Sum(f)
	return filetransfer.File{Name: name, Size: size, Sum: sum}, err
}

// Get streams a file from an offset on.
func (s *Store) Get(name string, offset int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		f, size, err := s.open(name)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close() // also when the client has gone: yield returns false
		for chunk, err := range filetransfer.Chunks(io.NewSectionReader(f, offset, size-offset)) {
			if !yield(chunk, err) {
				return
			}
		}
	}
}

// open opens a file to read it. Whatever is wrong, the caller learns that there is no
// such file; the log has more.
func (s *Store) open(name string) (*os.File, int64, error) {
	no := fmt.Errorf("%w: %q", filetransfer.ErrNoFile, name)
	if hidden(name) {
		return nil, 0, no
	}
	// Other things than files are not even opened: a pipe would wait for somebody.
	info, err := s.root.Stat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		log.Printf("refused to read %q: %v", name, err)
		return nil, 0, no
	}
	f, err := s.root.Open(name)
	if err != nil {
		log.Printf("refused to read %q: %v", name, err)
		return nil, 0, no
	}
	return f, info.Size(), nil
}

// Have tells how much of a file has arrived before, so that the client sends the rest.
func (s *Store) Have(file filetransfer.File) (int64, error) {
	if err := s.check(file); err != nil {
		return 0, err
	}
	info, err := s.root.Stat(filetransfer.PartName(file.Name, file.Sum))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, refuse(file.Name, err)
	}
	return info.Size(), nil
}

// Put takes a file from an offset on. When the stream breaks off, what has arrived is
// kept. The file gets its name when it is complete and is what was announced.
func (s *Store) Put(file filetransfer.File, offset int64, chunks iter.Seq2[[]byte, error]) error {
	if err := s.check(file); err != nil {
		return err
	}
	part := filetransfer.PartName(file.Name, file.Sum)
	if !s.begin(part) {
		return fmt.Errorf("%w: %q is being sent already", filetransfer.ErrRefused, file.Name)
	}
	defer s.end(part)
	f, err := s.root.OpenFile(part, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return refuse(file.Name, err)
	}
	defer f.Close()
	if err := receive(f, offset, file, chunks); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return refuse(file.Name, err)
	}
	if sum, err := filetransfer.Sum(f); err != nil || sum != file.Sum {
		s.root.Remove(part)
		return fmt.Errorf("%w: %q", filetransfer.ErrChanged, file.Name)
	}
	// A link never replaces a file, as renaming would.
	if err := s.root.Link(part, file.Name); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %q", filetransfer.ErrExists, file.Name)
	} else if err != nil {
		return refuse(file.Name, err)
	}
	s.root.Remove(part)
	return nil
}

// receive writes what arrives behind what is there.
func receive(f *os.File, offset int64, file filetransfer.File, chunks iter.Seq2[[]byte, error]) error {
	if here, err := f.Seek(0, io.SeekEnd); err != nil {
		return refuse(file.Name, err)
	} else if offset != here {
		return fmt.Errorf("%w: %q goes on at %d, not at %d", filetransfer.ErrRefused, file.Name, here, offset)
	}
	for chunk, err := range chunks {
		if err != nil {
			return err
		}
		if offset += int64(len(chunk)); offset > file.Size {
			return fmt.Errorf("%w: %q has more than %d bytes", filetransfer.ErrChanged, file.Name, file.Size)
		}
		if _, err := f.Write(chunk); err != nil {
			return refuse(file.Name, err)
		}
	}
	return nil
}

// check refuses what cannot be kept, before anything is written.
func (s *Store) check(file filetransfer.File) error {
	if err := file.Check(); err != nil {
		return err
	}
	if file.Size > s.largest {
		return fmt.Errorf("%w: %q has %d bytes, want at most %d", filetransfer.ErrRefused, file.Name, file.Size, s.largest)
	}
	// Without a slash a name cannot leave the directory; os.Root would stop it too.
	if strings.Contains(file.Name, "/") || hidden(file.Name) {
		return fmt.Errorf("%w: %q, want a name without slashes and not with a dot in front", filetransfer.ErrRefused, file.Name)
	}
	if _, err := s.root.Lstat(file.Name); err == nil {
		return fmt.Errorf("%w: %q", filetransfer.ErrExists, file.Name)
	}
	return nil
}

// hidden names are those of parts, and no one else's business.
func hidden(name string) bool {
	return name == "" || strings.HasPrefix(name, ".") || strings.Contains(name, "/.")
}

func refuse(name string, err error) error {
	log.Printf("failed to keep %q: %v", name, err)
	return fmt.Errorf("%w: %q", filetransfer.ErrRefused, name)
}

func (s *Store) begin(part string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.coming[part] {
		return false
	}
	s.coming[part] = true
	return true
}

func (s *Store) end(part string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.coming, part)
}
