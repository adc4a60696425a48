package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/broker"
	"github.com/pyrossl/pyrossl/validator"
)

// explainIncident prints one incident, of a daemon or of a record.
func (a *app) explainIncident(c *cobra.Command, id string, o explainOptions) error {
	var i broker.Incident
	var err error
	switch {
	case (o.at == "") == (o.record == ""):
		return wrongUsage("add --at PYROSSL://HOST:PORT for a daemon that runs, or --record FILE for what serve --record keeps", "where is %s to be looked up?", id)
	case o.at != "":
		i, err = a.askIncident(c, id, &o)
	default:
		i, err = findIncident(o.record, id)
	}
	if err != nil {
		return err
	}
	return a.printRecord(o.json, i, incidentLines(&i))
}

// askIncident asks a daemon.
func (a *app) askIncident(c *cobra.Command, id string, o *explainOptions) (i broker.Incident, err error) {
	s, err := a.connect(c, &o.clientFlags)
	if err != nil {
		return i, err
	}
	defer s.close()
	p, err := s.self(o.at)
	if err != nil {
		return i, err
	}
	err = p.Call(s.ctx, "Incident", &i, id)
	if isKind(err, broker.KindApplication) {
		return i, failed("broker incidents "+shellQuote(o.at)+" lists the latest; the file of serve --record may have older ones: --record FILE",
			"the daemon keeps no incident %s", id)
	}
	return i, err
}

// findIncident looks into a record. The latest counts, should there be two.
func findIncident(record, id string) (found broker.Incident, err error) {
	all, err := readRecord(record)
	if err != nil {
		return found, err
	}
	for _, i := range all {
		if i.ID == id {
			found = i
		}
	}
	if found.ID == "" {
		return found, failed("broker incidents --record "+shellQuote(record)+" lists what it has", "record %q has no incident %s", record, id)
	}
	return found, nil
}

// maxRecordLine is more than an incident can have.
const maxRecordLine = 1 << 20

// readRecord reads the record of serve --record, the oldest incident first: the file
// that was put aside, if there is one, and the one that is written. A line that cannot
// be read is left out, as the daemon does: the last one may have been cut.
func readRecord(path string) (all []broker.Incident, err error) {
	for _, p := range []string{path + ".1", path} {
		f, err := os.Open(p)
		if p != path && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, failed("check the name after --record, and whether this user may read it", "record: %w", err)
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, maxRecordLine)
		for lines.Scan() {
			var i broker.Incident
			if json.Unmarshal(lines.Bytes(), &i) == nil && i.ID != "" {
				all = append(all, i)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, failed("is that the right file?", "record %q: %w", p, err)
		}
	}
	return all, nil
}

// incidentLines are all that is known of an incident.
func incidentLines(i *broker.Incident) [][2]string {
	call := ""
	if i.Object != "" || i.Method != "" {
		call = i.Object + "." + i.Method
	}
	check := i.Check
	if check != "" {
		check = fmt.Sprintf("%s (%s)", i.Check, validator.Check(i.Check).Text())
	}
	return [][2]string{
		{"incident", i.ID},
		{"time", ago(i.Time.Truncate(time.Second))},
		{"event", i.Event},
		{"identity", i.Identity},
		{"principal", i.Principal},
		{"certificate", i.Subject},
		{"serial", i.Serial},
		{"address", i.Address},
		{"session", i.Session},
		{"call", call},
		{"code", i.Code},
		{"check", check},
		{"got", i.Got},
		{"want", i.Want},
		{"rule", i.Rule},
		{"error", i.Error},
		{"who can help", i.Who},
		{"how", i.Fix},
	}
}
