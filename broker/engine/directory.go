package engine

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// directory is a data directory that this process holds:
//
//	LOCK         held for as long as the engine runs
//	engine.json  the engine's name, and which streams there are
//	jetstream/   the server's own
type directory struct {
	path string
	lock *flock.Flock
	manifest

	mu sync.Mutex
}

// manifest says what must be there. JetStream leaves out what it cannot read, with a
// line in its log.
type manifest struct {
	ID      string               `json:"id"`
	Streams map[string]time.Time `json:"streams"` // since when
	// Lost is how many messages of a stream were found to be gone. Only an operator, who
	// edits the file, can decide to go on without them.
	Lost map[string]int `json:"lost,omitempty"`
}

const (
	lockName     = "LOCK"
	manifestName = "engine.json"
)

func (d *directory) store() string { return d.path }

// claim takes a directory, and makes sure that it can be written to.
func claim(path string) (*directory, error) {
	refuse := func(err error, fix string) error {
		return fmt.Errorf("engine: data directory %q: %w: %s", path, err, fix)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, refuse(err, "want a directory that can be made and written to")
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return nil, refuse(errors.New("not a directory"), "want a directory")
	}
	d := &directory{path: path, lock: flock.New(filepath.Join(path, lockName), flock.SetPermissions(0o600))}
	switch held, err := d.lock.TryLock(); {
	case err != nil:
		return nil, refuse(err, "want a directory that can be written to")
	case !held:
		return nil, refuse(ErrInUse, "stop the other process, or use another directory")
	}
	if err := d.load(); err != nil {
		d.release()
		return nil, refuse(err, "restore it from a backup, or use an empty directory")
	}
	if err := d.save(); err != nil { // which shows that there is room
		d.release()
		return nil, refuse(err, "want a directory that can be written to, with room on its disk")
	}
	return d, nil
}

// ErrInUse is why a data directory is refused that another engine holds.
var ErrInUse = errors.New("it is in use by another process")

func (d *directory) release() { d.lock.Close() }

// load reads the manifest of a directory that was used before, or begins one.
func (d *directory) load() error {
	text, err := os.ReadFile(filepath.Join(d.path, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(d.path, "jetstream")); err == nil {
			return fmt.Errorf("it has data, but no %s", manifestName)
		}
		d.manifest = manifest{ID: "pyrossl-" + strings.ToLower(rand.Text()[:12]), Streams: map[string]time.Time{}}
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &d.manifest); err != nil || d.ID == "" {
		return fmt.Errorf("%s cannot be read (%v)", manifestName, err)
	}
	if d.Streams == nil {
		d.Streams = map[string]time.Time{}
	}
	return nil
}

// created notes that a stream is there from now on.
func (d *directory) created(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.Streams[name]; known {
		return nil
	}
	d.Streams[name] = time.Now().UTC().Truncate(time.Second)
	if err := d.save(); err != nil {
		delete(d.Streams, name)
		return fmt.Errorf("engine: data directory %q: %w", d.path, err)
	}
	return nil
}

// save writes the manifest so that a crash leaves the old one or the new one.
func (d *directory) save() error {
	text, err := json.MarshalIndent(d.manifest, "", "\t")
	if err != nil {
		return err
	}
	path := filepath.Join(d.path, manifestName)
	f, err := os.CreateTemp(d.path, manifestName+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	return syncDir(d.path)
}

// syncDir brings a directory's entries to the disk. Where directories cannot be opened
// for that, renaming is all that there is.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// forgotten is the opposite of created.
func (d *directory) forgotten(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	since, known := d.Streams[name]
	if !known {
		return nil
	}
	delete(d.Streams, name)
	if err := d.save(); err != nil {
		d.Streams[name] = since
		return fmt.Errorf("engine: data directory %q: %w", d.path, err)
	}
	return nil
}

// damaged notes that messages are gone.
func (d *directory) damaged(stream string, messages int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Lost == nil {
		d.Lost = map[string]int{}
	}
	d.Lost[stream] += messages
	return d.save()
}
