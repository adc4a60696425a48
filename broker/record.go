package broker

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// Incident is what a daemon keeps of a refusal, of a session that it ended, and of a
// method that failed inside. The peer was told the id, and as much of the rest as is
// its business.
type Incident struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"`
	Event     string    `json:"event"` // connection denied, call denied, session ended, method panicked, result cannot be carried
	Session   string    `json:"session,omitempty"`
	Address   string    `json:"address,omitempty"`
	Identity  string    `json:"identity,omitempty"`
	Principal string    `json:"principal,omitempty"`
	Subject   string    `json:"subject,omitempty"` // of the certificate
	Serial    string    `json:"serial,omitempty"`
	Object    string    `json:"object,omitempty"`
	Method    string    `json:"method,omitempty"`
	Code      string    `json:"code,omitempty"`  // Pyro's reason
	Check     string    `json:"check,omitempty"` // that failed
	Got       string    `json:"got,omitempty"`
	Want      string    `json:"want,omitempty"`
	Rule      string    `json:"rule,omitempty"` // that decided about a call
	Error     string    `json:"error,omitempty"`
	Who       string    `json:"who,omitempty"` // can do something about it
	Fix       string    `json:"fix,omitempty"` // and what
}

// of fills in what is known of a peer.
func (i Incident) of(p *Peer) Incident {
	i.Session, i.Address = p.Session, p.Address.String()
	i.Identity, i.Principal = p.Identity.Name, p.Identity.Principal.String()
	if p.Certificate != nil {
		i.Subject, i.Serial = p.Certificate.Subject.String(), p.Certificate.SerialNumber.Text(16)
	}
	return i
}

// because fills in a denial.
func (i Incident) because(d *validator.Denial) Incident {
	i.Code, i.Check, i.Got, i.Want = d.Code.String(), string(d.Check), d.Got, d.Want
	i.Who, i.Fix = d.Check.Who(), d.Check.Fix()
	if d.Err != nil {
		i.Error = d.Err.Error()
	}
	return i
}

// record keeps the latest incidents, in memory and, if it has a file, beyond the end of
// the process. It is bounded, whatever peers do: the oldest go first, and what comes
// faster than the disk takes it is kept in memory only, and counted.
type record struct {
	mu      sync.Mutex
	latest  []Incident // a ring once it is full
	next    int
	missed  uint64 // that the file does not have
	pending [][]byte
	file    *os.File
	size    int64
	wake    chan struct{}
	stop    chan struct{}
	done    chan struct{}
	path    string
	failed  func(error)
}

const (
	// maxIncidents is how many are kept in memory.
	maxIncidents = 4096
	// maxRecordFile is when the file is put aside for a new one. Two are kept.
	maxRecordFile = 4 << 20
	// maxPendingIncidents is how many may wait for the disk.
	maxPendingIncidents = 1024
	// maxIncidentText bounds each text of an incident, some of which peers write.
	maxIncidentText = 1 << 10
)

// newRecord opens a record. Without a path it is in memory only.
func newRecord(path string, failed func(error)) (*record, error) {
	r := &record{path: path, failed: failed}
	if path == "" {
		return r, nil
	}
	for _, p := range []string{path + ".1", path} {
		if err := r.load(p); err != nil {
			return nil, fmt.Errorf("broker: record of incidents: %w", err)
		}
	}
	if err := r.open(); err != nil {
		return nil, fmt.Errorf("broker: record of incidents: %w", err)
	}
	r.wake, r.stop, r.done = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go r.write() // ends with close
	return r, nil
}

// load reads a file of an earlier run. Lines that are damaged are left out: the last one
// may have been cut.
func (r *record) load(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var i Incident
		if json.Unmarshal(lines.Bytes(), &i) == nil && i.ID != "" {
			r.keep(i)
		}
	}
	return nil
}

func (r *record) open() error {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	r.file, r.size = f, info.Size()
	if last := make([]byte, 1); r.size > 0 {
		// A line that was cut must not swallow the next one.
		if _, err := f.ReadAt(last, r.size-1); err == nil && last[0] != '\n' {
			n, _ := f.Write([]byte("\n"))
			r.size += int64(n)
		}
	}
	return nil
}

// keep adds an incident to the ring. Called with mu held, or before anybody knows r.
func (r *record) keep(i Incident) {
	if len(r.latest) < maxIncidents {
		r.latest = append(r.latest, i)
		return
	}
	r.latest[r.next] = i
	r.next = (r.next + 1) % maxIncidents
}

// add keeps an incident. It waits for nothing.
func (r *record) add(i Incident) {
	for _, text := range []*string{&i.Subject, &i.Object, &i.Method, &i.Got, &i.Want, &i.Error, &i.Identity, &i.Principal} {
		if len(*text) > maxIncidentText {
			*text = string(bytes.ToValidUTF8([]byte((*text)[:maxIncidentText]), nil)) + "…"
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(i)
	if r.path == "" {
		return
	}
	line, err := json.Marshal(i)
	if err != nil || len(r.pending) >= maxPendingIncidents {
		r.missed++
		return
	}
	r.pending = append(r.pending, append(line, '\n'))
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// find returns an incident by its id.
func (r *record) find(id string) (Incident, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range r.latest {
		if i.ID == id {
			return i, true
		}
	}
	return Incident{}, false
}

// last returns at most n incidents, the latest first.
func (r *record) last(n int) []Incident {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.Concat(r.latest[r.next:], r.latest[:r.next])
	slices.Reverse(all)
	return all[:min(max(n, 0), len(all))]
}

// write writes what is pending until close, and then the rest.
func (r *record) write() {
	defer close(r.done)
	for {
		stopped := false
		select {
		case <-r.wake:
		case <-r.stop:
			stopped = true
		}
		r.mu.Lock()
		lines := r.pending
		r.pending = nil
		r.mu.Unlock()
		if err := r.flush(slices.Concat(lines...)); err != nil {
			r.mu.Lock()
			r.missed += uint64(len(lines))
			r.mu.Unlock()
			r.failed(err)
		}
		if stopped {
			r.file.Close()
			return
		}
	}
}

// flush appends to the file, after putting a full one aside.
func (r *record) flush(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if r.size+int64(len(data)) > maxRecordFile && r.size > 0 {
		if err := os.Rename(r.path, r.path+".1"); err != nil {
			return err
		}
		r.file.Close()
		if err := r.open(); err != nil {
			return err
		}
	}
	n, err := r.file.Write(data)
	r.size += int64(n)
	return err
}

// close writes what is pending.
func (r *record) close() {
	if r.path == "" {
		return
	}
	r.mu.Lock()
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	r.mu.Unlock()
	<-r.done
}
