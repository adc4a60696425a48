package repo

import (
	"slices"
	"strings"
	"testing"
)

// A row names what a package may import besides the standard library, each with
// its reason. Our packages go by their path in the module.
type row map[string]string

// production is the table of imports: arrows point down only, from what is seen
// by users to what knows less. A package that is not here may not exist.
var production = map[string]row{
	"codec": {
		"github.com/fxamacker/cbor/v2": "CBOR itself: encoding and decoding by reflection, with limits and deterministic output",
	},
	"validator": {
		"github.com/xdg-go/scram": "SCRAM-SHA-256 with channel binding, the second factor",
	},
	"validator/rulefile": {
		"validator":          "a file's rules become a Mapper and Rules",
		"go.yaml.in/yaml/v4": "rule files are YAML; a package of its own, so that clients do not link it",
	},
	"certs": {
		"validator": "refusals are Denials, and pins are Principals",
	},
	"certs/ocsp": {
		"validator":                "refusals are Denials",
		"golang.org/x/crypto/ocsp": "questions and answers of RFC 6960",
	},
	"certs/ca": {
		"certs":     "private keys of the type that does not print; PEM is read as programs do",
		"validator": "no name is issued that a daemon would not take",
		"github.com/smallstep/certificates/cas/apiv1":   "requests to the CA of files",
		"github.com/smallstep/certificates/cas/softcas": "the CA of files, which signs",
		"go.step.sm/crypto/kms/apiv1":                   "requests for keys",
		"go.step.sm/crypto/kms/softkms":                 "key generation, for every kind of key",
		"go.step.sm/crypto/pemutil":                     "keys to PEM, encrypted if there is a passphrase",
	},
	"broker/uri": {},
	"broker/internal/wire": {
		"codec": "bodies of frames are CBOR",
	},
	"broker/internal/naming": {},
	"broker/internal/session": {
		"broker/internal/wire": "a session reads and writes frames",
	},
	"broker": {
		"codec":                   "arguments and results",
		"validator":               "who may connect and call",
		"certs":                   "the only TLS settings",
		"broker/uri":              "where objects are",
		"broker/internal/wire":    "limits and the bodies of frames",
		"broker/internal/session": "calls in flight on one connection",
		"broker/internal/naming":  "what name servers are told and asked",
	},
	"broker/names": {
		"broker":                 "a name server is an object",
		"broker/internal/naming": "what it is told and asked",
	},
	"broker/names/nameserver": {
		"broker":                               "it is an object on a daemon",
		"broker/engine":                        "where names are kept",
		"broker/internal/naming":               "what it is told and asked",
		"broker/names":                         "errors that its clients know",
		"broker/uri":                           "where names may lead",
		"codec":                                "records are CBOR",
		"validator":                            "principals, and what a review asks",
		"github.com/google/btree":              "names in their order, 100,000 of them",
		"github.com/nats-io/nats.go":           "a lease is published with its time to live",
		"github.com/nats-io/nats.go/jetstream": "buckets",
	},
	"broker/gen": {
		"codec": "keys are encoded as codec does",
	},
	"broker/gen/internal/zoo": {
		"broker": "generated code calls through it",
		"codec":  "and encodes with it",
	},
	"broker/engine": {
		"certs":                  "links among nodes, and to them",
		"github.com/gofrs/flock": "one process for a data directory, on every system",
		"github.com/nats-io/nats-server/v2/server": "JetStream itself: storage, replication",
		"github.com/nats-io/nats.go":               "and its client",
		"github.com/nats-io/nats.go/jetstream":     "streams and buckets",
	},
	"broker/explain": {
		"broker":     "the daemon's verdict is that of an ordinary connection",
		"broker/uri": "the URI is the first thing to explain",
		"certs":      "files, and what a server shows",
		"codec":      "the type of a stream's items, of which none comes",
		"validator":  "checks, denials and the second factor",
	},
	"broker/intercept": {
		"broker": "interceptors for its daemons and clients",
	},
	"broker/pool": {
		"broker": "one proxy made of several",
	},
	"broker/telemetry": {
		"broker":                               "an interceptor for its daemons and clients",
		"go.opentelemetry.io/otel":             "the API of OpenTelemetry; a package of its own, so that others do not link it",
		"go.opentelemetry.io/otel/attribute":   "what spans say",
		"go.opentelemetry.io/otel/codes":       "how they end",
		"go.opentelemetry.io/otel/propagation": "W3C Trace Context in metadata",
		"go.opentelemetry.io/otel/trace":       "spans",
	},
	"broker/pyroenv": {
		"broker/uri": "the default port, and what a host may look like",
	},
	"broker/attack": {}, // tests and nothing else
	"broker/brokertest": {
		"broker":          "a test world has a daemon and clients",
		"certs":           "and certificates for them",
		"validator":       "and rules",
		"internal/testca": "a CA for the length of a test",
		"internal/memnet": "a network for tests under fake time",
	},
	"cmd/broker": {
		"broker":                  "the daemon and the client that it runs",
		"broker/engine":           "where serve keeps names",
		"broker/names":            "the commands of names",
		"broker/names/nameserver": "serve is one",
		"broker/gen":              "the command gen",
		"broker/uri":              "URIs are checked before anything is tried",
		"broker/pyroenv":          "settings from the environment",
		"certs":                   "certificates from files",
		"certs/ca":                "serve --dev makes its own",
		"codec":                   "results are shown as JSON",
		"validator":               "who may connect and call",
		"validator/rulefile":      "--identities and --policy",
		"examples/bank":           "serve --dev exports it",
		"github.com/spf13/cobra":  "subcommands, help and shell completion",
		"github.com/spf13/pflag":  "cobra's flags",
		"go.yaml.in/yaml/v4":      "--config is YAML",
		"broker/explain":          "the command explain",
	},
	"cmd/mkcerts": {
		"certs":                  "certificates are read and checked as programs do",
		"certs/ca":               "the CA",
		"validator":              "the identity that a broker will derive",
		"github.com/spf13/cobra": "subcommands, help and shell completion",
		"github.com/spf13/pflag": "cobra's flags",
	},
	"internal/leakcheck": {},
	"internal/memnet":    {},
	"internal/testca":    {},
	"internal/repo":      {},
}

// inTests is what tests may import on top of that. Of our own packages they may also
// import what is not built on the package under test.
var inTests = map[string]row{
	"certs/ocsp": {
		"certs": "examples verify the chain first",
	},
	"*": {
		"internal/testca":    "certificates for the length of a test",
		"internal/memnet":    "a network under fake time",
		"internal/leakcheck": "no goroutine outlives its test",
	},
	"broker": {
		"broker/brokertest": "examples, in the package beside it",
	},
	"broker/engine": {
		"github.com/nats-io/nats.go":           "its errors",
		"github.com/nats-io/nats.go/jetstream": "streams and buckets",
	},
	"broker/telemetry": {
		"broker/brokertest":                            "a daemon and clients",
		"go.opentelemetry.io/otel/baggage":             "what else may travel",
		"go.opentelemetry.io/otel/sdk/trace":           "a provider that makes spans",
		"go.opentelemetry.io/otel/sdk/trace/tracetest": "and keeps them for the test",
	},
	"codec": {
		"github.com/fxamacker/cbor/v2": "what we refuse is compared with what it takes",
	},
	"internal/repo": {
		"go.yaml.in/yaml/v4": "docker-compose.yml is read",
	},
	"cmd/broker": {
		"github.com/rogpeppe/go-internal/testscript": "scripts of whole commands",
	},
	"cmd/mkcerts": {
		"github.com/rogpeppe/go-internal/testscript": "scripts of whole commands",
	},
}

// example reports whether a package is an example. Examples import what users can, and
// what other examples share, without an entry each.
func example(pkg string) bool { return strings.HasPrefix(pkg+"/", "examples/") }

func forExamples(i string) bool {
	return i == "broker" || i == "certs" || i == "codec" || i == "validator" || example(i) ||
		strings.HasPrefix(i, "broker/") && !strings.Contains(i, "internal") || i == "certs/ca" || i == "validator/rulefile"
}

// never lists parts of the standard library, and of the language, that packages
// must do without: what they are not to know.
var never = map[string][]string{
	"codec":                {"net", "os", "crypto/tls"},
	"validator":            {"os", "crypto/tls"},
	"broker/uri":           {"os", "context", "crypto/tls"}, // "net" joins host and port, no more: there is nothing to cancel
	"broker/internal/wire": {"net", "os", "sync", "crypto/tls", "crypto/x509"},
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		allowed, listed := production[p.short]
		if example(p.short) {
			for _, i := range p.imports {
				if !isStd(i) && !forExamples(i) {
					t.Errorf("%s imports %s, which an example must do without", p.short, i)
				}
			}
			continue
		}
		if !listed {
			t.Errorf("package %s is not in the table of imports: add it, with what it may import and why", p.short)
			continue
		}
		for _, i := range p.imports {
			switch {
			case isStd(i):
				if slices.Contains(never[p.short], i) {
					t.Errorf("%s imports %s, which it must do without", p.short, i)
				}
			case allowed[i] == "":
				t.Errorf("%s imports %s, which the table of imports does not list", p.short, i)
			}
		}
		for _, i := range p.testImports {
			if isStd(i) || i == p.short || allowed[i] != "" || inTests[p.short][i] != "" || inTests["*"][i] != "" {
				continue
			}
			switch {
			case !ours(i):
				t.Errorf("tests of %s import %s, which the table of imports does not list", p.short, i)
			case reaches(i, p.short):
				// What is below does not need what is above even there: no test of
				// codec runs a daemon.
				t.Errorf("tests of %s import %s, which is built on it", p.short, i)
			}
		}
	}
}

// An entry that nothing uses any more is a door left open.
func TestImportTableIsNotLargerThanNeeded(t *testing.T) {
	used := make(map[string][]string)
	usedInTests := make(map[string][]string)
	for _, p := range packages(t) {
		used[p.short] = p.imports
		usedInTests[p.short] = p.testImports
		usedInTests["*"] = append(usedInTests["*"], p.testImports...)
	}
	for pkg, allowed := range production {
		if _, ok := used[pkg]; !ok {
			t.Errorf("the table of imports lists %s, which does not exist", pkg)
			continue
		}
		for i := range allowed {
			if !slices.Contains(used[pkg], i) {
				t.Errorf("the table of imports lets %s import %s, and it does not", pkg, i)
			}
		}
	}
	for pkg, allowed := range inTests {
		for i := range allowed {
			if !slices.Contains(usedInTests[pkg], i) {
				t.Errorf("the table of imports lets tests of %s import %s, and they do not", pkg, i)
			}
		}
	}
}

// reaches reports whether the table lets from import to, directly or not.
func reaches(from, to string) bool {
	if example(from) {
		return forExamples(to)
	}
	for i := range production[from] {
		if i == to || ours(i) && reaches(i, to) {
			return true
		}
	}
	return false
}

func TestImportTableHasNoCycle(t *testing.T) {
	state := make(map[string]int) // 1 on the way, 2 done
	var visit func(pkg string)
	visit = func(pkg string) {
		if state[pkg] == 2 {
			return
		}
		state[pkg] = 1
		for i := range production[pkg] {
			if state[i] == 1 {
				t.Errorf("the table of imports has a cycle through %s and %s", pkg, i)
			} else {
				visit(i)
			}
		}
		state[pkg] = 2
	}
	for pkg := range production {
		visit(pkg)
	}
}

func isStd(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !ours(path) && !strings.Contains(first, ".")
}

func ours(path string) bool {
	_, ok := production[path]
	return ok
}
