package intercept_test

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A reader of the Prometheus text format, version 0.0.4, that accepts nothing that the
// format does not say, and checks what a scraper would have to believe: one HELP and one
// TYPE a family, in front of its samples; families in one piece; no series twice; the
// rules of histograms.

type family struct {
	kind, help string
	samples    []sample
}

type sample struct {
	name   string
	labels map[string]string
	value  float64
}

var (
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// parse reads an exposition.
func parse(text string) (map[string]*family, error) {
	all := make(map[string]*family)
	var current *family
	var name string
	seen := make(map[string]bool)
	if text != "" && !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("the last line has no end")
	}
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fail := func(format string, args ...any) error {
			return fmt.Errorf("line %d, %q: %s", n+1, line, fmt.Sprintf(format, args...))
		}
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			if current != nil && current.kind == "" {
				return nil, fail("the family before it has no type")
			}
			var help string
			name, help, _ = strings.Cut(rest, " ")
			if !metricName.MatchString(name) || all[name] != nil {
				return nil, fail("a wrong name, or a second time")
			}
			current = &family{help: help}
			all[name] = current
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			of, kind, _ := strings.Cut(rest, " ")
			if current == nil || of != name || current.kind != "" || !slices.Contains([]string{"counter", "gauge", "histogram"}, kind) {
				return nil, fail("a type out of place")
			}
			current.kind = kind
			continue
		}
		s, err := parseSample(line)
		if err != nil {
			return nil, fail("%v", err)
		}
		if current == nil || current.kind == "" || !belongs(s.name, name, current.kind) {
			return nil, fail("a sample of no family, or of another one than %s", name)
		}
		key := fmt.Sprint(s.name, s.labels)
		if seen[key] {
			return nil, fail("a second time")
		}
		seen[key] = true
		current.samples = append(current.samples, s)
	}
	for name, f := range all {
		if err := f.check(name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

func belongs(sample, family, kind string) bool {
	if kind != "histogram" {
		return sample == family
	}
	return sample == family+"_bucket" || sample == family+"_sum" || sample == family+"_count"
}

// parseSample reads `name{label="value",...} number`.
func parseSample(line string) (s sample, err error) {
	brace := strings.IndexByte(line, '{')
	if brace < 0 {
		return s, fmt.Errorf("no labels")
	}
	s.name, s.labels = line[:brace], make(map[string]string)
	if !metricName.MatchString(s.name) {
		return s, fmt.Errorf("name %q", s.name)
	}
	rest := line[brace+1:]
	for {
		name, after, ok := strings.Cut(rest, `="`)
		if _, twice := s.labels[name]; !ok || !labelName.MatchString(name) || twice {
			return s, fmt.Errorf("label %q", name)
		}
		var value strings.Builder
		for {
			if after == "" {
				return s, fmt.Errorf("a label's value has no end")
			}
			c := after[0]
			after = after[1:]
			if c == '"' {
				break
			}
			if c != '\\' {
				value.WriteByte(c)
				continue
			}
			if after == "" || !strings.Contains(`\"n`, after[:1]) {
				return s, fmt.Errorf("an escape that there is not")
			}
			value.WriteString(map[byte]string{'\\': `\`, '"': `"`, 'n': "\n"}[after[0]])
			after = after[1:]
		}
		s.labels[name] = value.String()
		if rest, ok = strings.CutPrefix(after, ","); ok {
			continue
		}
		number, ok := strings.CutPrefix(after, "} ")
		if !ok {
			return s, fmt.Errorf("%q after a label", after)
		}
		s.value, err = strconv.ParseFloat(number, 64)
		return s, err
	}
}

func (f *family) check(name string) error {
	if f.help == "" || f.kind == "" {
		return fmt.Errorf("no help or no type")
	}
	if f.kind == "counter" && !strings.HasSuffix(name, "_total") {
		return fmt.Errorf("a counter's name ends with _total")
	}
	if f.kind != "histogram" {
		return nil
	}
	buckets := make(map[string][]sample)
	count := make(map[string]float64)
	for _, s := range f.samples {
		labels := make(map[string]string)
		for k, v := range s.labels {
			if k != "le" {
				labels[k] = v
			}
		}
		key := fmt.Sprint(labels)
		switch s.name {
		case name + "_bucket":
			buckets[key] = append(buckets[key], s)
		case name + "_count":
			count[key] = s.value
		}
	}
	if len(buckets) != len(count) {
		return fmt.Errorf("%d histograms have buckets, %d counts", len(buckets), len(count))
	}
	for key, all := range buckets {
		bound, below := math.Inf(-1), 0.
		for _, s := range all {
			le, err := strconv.ParseFloat(s.labels["le"], 64)
			if err != nil || le <= bound || s.value < below {
				return fmt.Errorf("%s: bucket %v of %v follows %v of %v", key, le, s.value, bound, below)
			}
			bound, below = le, s.value
		}
		if !math.IsInf(bound, 1) || below != count[key] {
			return fmt.Errorf("%s: the last bucket is %v of %v, the count %v", key, bound, below, count[key])
		}
	}
	return nil
}

// get returns the value of a series, which must be there.
func (f *family) get(name string, labels map[string]string) (float64, bool) {
	for _, s := range f.samples {
		if s.name == name && fmt.Sprint(s.labels) == fmt.Sprint(labels) {
			return s.value, true
		}
	}
	return 0, false
}
