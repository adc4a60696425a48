package pyroenv

import (
	"errors"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pyrossl/pyrossl/broker/uri"
)

// digits are what a number is written with: no sign, no space, no underscore.
func digits(v string) bool { return v != "" && strings.Trim(v, "0123456789") == "" }

func number(to *int, v string, low, high int) *Error {
	n, err := strconv.Atoi(v)
	if err != nil || !digits(v) || n < low || n > high {
		return &Error{Value: v, Reason: "is not a number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high)}
	}
	*to = n
	return nil
}

func port(to *uint16, v string, low int) *Error {
	var n int
	if number(&n, v, low, math.MaxUint16) != nil {
		return &Error{Value: v, Reason: "is not " + strconv.Itoa(low) + "–65535"}
	}
	*to = uint16(n)
	return nil
}

// listenHost takes any address, 0.0.0.0 and one with a zone too, or a name.
func listenHost(to *string, v string) *Error {
	if ip, err := netip.ParseAddr(v); err == nil {
		*to = ip.String()
		return nil
	}
	return publishHost(to, v)
}

// publishHost takes what can stand in a URI.
func publishHost(to *string, v string) *Error {
	host := strings.ToLower(v)
	if ip, err := netip.ParseAddr(v); err == nil {
		host = ip.String()
	}
	err := uri.URI{Scheme: uri.PYROSSL, Host: host, Port: uri.DefaultPort, Object: "x"}.Check()
	if err == nil {
		*to = host
		return nil
	}
	var wrong *uri.Error
	reason := `is not a host name or an IP address (the port has its own variable, and IPv6 has no brackets)`
	if errors.As(err, &wrong) && wrong.Part == uri.PartHost && (isIP(v) || !strings.ContainsAny(v, ":[]@/?")) {
		reason = wrong.Reason
	}
	return &Error{Value: v, Reason: reason}
}

func dnsURI(s *Settings, v string) *Error {
	switch v {
	case "0", "1":
		s.AllowIPHosts = v == "0"
		return nil
	}
	return &Error{Value: v, Reason: "is not 0 (addresses may be published) or 1 (names only)"}
}

func traceLevel(s *Settings, v string) *Error {
	if v == "0" {
		return &Error{Value: v, Err: ErrUnsafe, Reason: "would leave refusals without a trace; want 1 (errors), 2 (warnings) or 3 (everything)"}
	}
	if number(&s.TraceLevel, v, 1, 3) != nil {
		return &Error{Value: v, Reason: "is not 1 (errors), 2 (warnings) or 3 (everything)"}
	}
	return nil
}

// timeout takes seconds, as Pyro does, also with decimals, or a number with a unit.
func timeout(to *time.Duration, v string) *Error {
	text := v
	if strings.Trim(v, "0123456789.") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 10*time.Millisecond || d > time.Minute {
		return &Error{Value: v, Reason: `is not seconds, or a time like "1500ms", from 10ms to 1m`}
	}
	*to = d
	return nil
}

// size takes bytes, or KiB and MiB.
func size(to *int, v string) *Error {
	const low, high = 64 << 10, 1 << 30
	count, unit := v, 1
	if n, ok := strings.CutSuffix(v, "KiB"); ok {
		count, unit = n, 1<<10
	} else if n, ok := strings.CutSuffix(v, "MiB"); ok {
		count, unit = n, 1<<20
	}
	var n int
	if number(&n, count, 1, high) != nil || n > high/unit || n*unit < low {
		return &Error{Value: v, Reason: `is not bytes, or a size like "4MiB", from 64KiB to 1024MiB`}
	}
	*to = n * unit
	return nil
}

func isIP(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// unknown names the variable that is spelled most like it. The value is not
// printed: nobody knows what it is.
func unknown(name string) *Error {
	nearest, least := "", 1+len(name)/2
	for _, known := range append(sortedKeys(variables), sortedKeys(ignored)...) {
		if d := distance(name, known); d < least {
			nearest, least = known, d
		}
	}
	reason := "is not known"
	if nearest != "" && len(name) <= 64 {
		reason += "; did you mean " + nearest + "?"
	} else {
		reason += "; every variable that begins with PYRO_ or PYROSSL_ must be one of Pyro's, so that a misspelt limit is noticed"
	}
	return &Error{Name: printable(name), Reason: reason}
}

// distance is how many bytes must be added, removed or replaced to make b of a.
// It is only asked about short texts.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
