package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// width is that of the column of step names.
const width = len("identification") + 1

// marks stand in front of the steps.
var marks = map[State]string{OK: "ok", Warn: "warn", Fail: "FAIL", Skipped: "-"}

// WriteText writes the report for a person: a line for each step, with facts and
// remedies below it.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	b.WriteString(r.URI)
	if r.Method != "" {
		b.WriteString(" " + r.Method)
	}
	b.WriteByte('\n')
	for i := range r.Steps {
		r.Steps[i].write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Step) write(b *strings.Builder) {
	fmt.Fprintf(b, "%-5s %-*s %s\n", marks[s.State], width-1, s.Name, s.Got)
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(b, "%*s%s%s\n", 6+width, "", label, text)
		}
	}
	line("want: ", s.Want)
	for _, f := range s.Facts {
		line("", f)
	}
	line("incident: ", s.Incident)
	for i, f := range s.Fixes {
		label := string(f.Who) + ": "
		if i > 0 {
			label = "or " + label
		}
		line(label, f.What)
	}
}

// WriteJSON writes the report as one JSON document on one line.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// maxText bounds each text of a report, some of which peers write.
const maxText = 1 << 10

// clean makes a text printable and bounded.
func clean(text string) string {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	if utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := fmt.Sprintf("%q", r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// clean makes all texts of a step fit to be shown.
func (s *Step) clean() {
	for _, t := range []*string{&s.Got, &s.Want, &s.Code, &s.Incident, (*string)(&s.Check)} {
		*t = clean(*t)
	}
	for i := range s.Facts {
		s.Facts[i] = clean(s.Facts[i])
	}
	for i := range s.Fixes {
		s.Fixes[i].What = clean(s.Fixes[i].What)
	}
}
