package intercept

import (
	"bufio"
	"cmp"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteMetrics writes the figures in the Prometheus text format, version 0.0.4:
//
//	pyrossl_method_calls_total{direction,object,method,kind}  calls that have ended
//	pyrossl_method_seconds{direction,object,method}           histogram of how long they took
//	pyrossl_method_calls_running{direction,object,method}     calls that have not ended
//
// direction is "in" on the side of the object, "out" on the caller's. kind is "ok" or the
// kind of the error. The names are none of [broker.Daemon.WriteMetrics], so that one answer
// may hold both. It is served as "text/plain; version=0.0.4; charset=utf-8".
//
// The figures of one call may come in two answers: its count in one, its time in the
// next.
func (m *Metrics) WriteMetrics(w io.Writer) error {
	all := *m.series.Load()
	order := slices.SortedFunc(maps.Keys(all), func(a, b about) int {
		return cmp.Or(cmp.Compare(a.direction(), b.direction()), cmp.Compare(a.object, b.object), cmp.Compare(a.method, b.method))
	})
	out := exposition{bufio.NewWriter(w)}
	out.family("pyrossl_method_calls_total", "counter", "Calls that have ended, by what became of them.")
	for _, a := range order {
		labels := a.labels()
		for i := range all[a].outcomes {
			if n := all[a].outcomes[i].Load(); n > 0 || i == 0 {
				out.sample("pyrossl_method_calls_total", labels+`,kind="`+escape(outcomeText(i))+`"`, strconv.FormatUint(n, 10))
			}
		}
	}
	out.family("pyrossl_method_seconds", "histogram", "How long calls took, in seconds; streams, how long they flowed.")
	for _, a := range order {
		out.histogram("pyrossl_method_seconds", a.labels(), m.bounds, all[a])
	}
	out.family("pyrossl_method_calls_running", "gauge", "Calls that have not ended.")
	for _, a := range order {
		out.sample("pyrossl_method_calls_running", a.labels(), strconv.FormatInt(all[a].running.Load(), 10))
	}
	return out.Flush()
}

func (a about) direction() string {
	if a.incoming {
		return "in"
	}
	return "out"
}

func (a about) labels() string {
	return `direction="` + a.direction() + `",object="` + escape(a.object) + `",method="` + escape(a.method) + `"`
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// escape makes a label's value of any text.
func escape(value string) string { return escapes.Replace(strings.ToValidUTF8(value, "\uFFFD")) }

// exposition writes what a scraper reads. The first error stays, and Flush returns it.
type exposition struct{ *bufio.Writer }

func (e exposition) family(name, kind, help string) {
	e.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
}

func (e exposition) sample(name, labels, value string) {
	e.WriteString(name + "{" + labels + "} " + value + "\n")
}

func (e exposition) histogram(name, labels string, bounds []float64, s *series) {
	count := uint64(0)
	for i := range s.buckets {
		count += s.buckets[i].Load()
		bound := "+Inf"
		if i < len(bounds) {
			bound = number(bounds[i])
		}
		e.sample(name+"_bucket", labels+`,le="`+bound+`"`, strconv.FormatUint(count, 10))
	}
	e.sample(name+"_sum", labels, number(time.Duration(s.nanos.Load()).Seconds()))
	e.sample(name+"_count", labels, strconv.FormatUint(count, 10))
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
