package validator

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	dns253 := label63 + "." + label63 + "." + label63 + "." + strings.Repeat("b", 61)
	cases := []struct {
		kind     Kind
		in, want string // want empty: refused
		reason   string
	}{
		{DNS, "bank.example", "bank.example", ""},
		{DNS, "Bank.EXAMPLE", "bank.example", ""},
		{DNS, "localhost", "localhost", ""},
		{DNS, "bank_service", "bank_service", ""},
		{DNS, "xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{DNS, "1.2.3.example", "1.2.3.example", ""},
		{DNS, dns253, dns253, ""},
		{DNS, dns253 + "b", "", "253"},
		{DNS, label63 + "a.example", "", "63"},
		{DNS, "", "", "empty"},
		{DNS, "*.bank.example", "", "wildcard"},
		{DNS, "bank.*", "", "wildcard"},
		{DNS, "bank.example.", "", `ends with a "."`},
		{DNS, ".", "", "ends with"},
		{DNS, "bank..example", "", "empty label"},
		{DNS, ".example", "", "empty label"},
		{DNS, "-bank.example", "", `"-" at its end`},
		{DNS, "bank-.example", "", `"-" at its end`},
		{DNS, "bank\x00.example", "", "other characters"},
		{DNS, "bank\n", "", "other characters"},
		{DNS, "bank example", "", "other characters"},
		{DNS, "bücher.example", "", "other characters"},
		{DNS, "b\u0430nk.example", "", "other characters"},
		{DNS, "\u212aelvin.example", "", "other characters"}, // folds to k
		{DNS, "127.0.0.1", "", "like an address"},
		{DNS, "10.1", "", "like an address"},
		{DNS, "0x7f.1", "", "like an address"},
		{DNS, "a.0X7F", "", "like an address"},
		{DNS, "::1", "", "other characters"},
		{DNS, "bank.example:443", "", "other characters"},

		{Email, "alice@bank.example", "alice@bank.example", ""},
		{Email, "Alice.B+x@Bank.Example", "Alice.B+x@bank.example", ""},
		{Email, "o'hara@localhost", "o'hara@localhost", ""},
		{Email, "", "", "empty"},
		{Email, "alice", "", `exactly one "@"`},
		{Email, "alice@bank@example", "", `exactly one "@"`},
		{Email, "@bank.example", "", "nothing before"},
		{Email, "alice@", "", "empty"},
		{Email, "*@bank.example", "", "wildcard"},
		{Email, "alice@*.example", "", "wildcard"},
		{Email, ".alice@bank.example", "", `"." too many`},
		{Email, "a..b@bank.example", "", `"." too many`},
		{Email, "alice @bank.example", "", "other characters"},
		{Email, `"alice"@bank.example`, "", "other characters"},
		{Email, "alice\x00@bank.example", "", "other characters"},
		{Email, "alice@bank\x00.example", "", "other characters"},
		{Email, "\u0430lice@bank.example", "", "other characters"},
		{Email, strings.Repeat("a", 65) + "@bank.example", "", "64"},
		{Email, "a@" + dns253, "", "254"},
		{Email, "alice@127.0.0.1", "", "like an address"},

		{URI, "spiffe://bank.example/teller", "spiffe://bank.example/teller", ""},
		{URI, "spiffe://bank.example", "spiffe://bank.example", ""},
		{URI, "https://idp.example/users/alice@bank.example", "https://idp.example/users/alice@bank.example", ""},
		{URI, "", "", "empty"},
		{URI, "admin", "", "does not begin"},
		{URI, "urn:uuid:1", "", "does not begin"},
		{URI, "spiffe:/a", "", "does not begin"},
		{URI, "SPIFFE://bank.example/a", "", "lower case"},
		{URI, "1s://bank.example/a", "", "does not begin"},
		{URI, "://bank.example/a", "", "does not begin"},
		{URI, "spiffe:///a", "", "no host"},
		{URI, "spiffe://Bank.example/a", "", "host"},
		{URI, "spiffe://bank..example/a", "", "empty label"},
		{URI, "spiffe://./a", "", "empty label"},
		{URI, "spiffe://u@bank.example/a", "", "user info"},
		{URI, "spiffe://u:p@bank.example/a", "", "user info"},
		{URI, "spiffe://bank.example:1/a", "", "port"},
		{URI, "spiffe://bank.example:/a", "", "port"},
		{URI, "spiffe://[::1]/a", "", "port"},
		{URI, "spiffe://bank.example/%61", "", "percent"},
		{URI, "spiffe://bank%2eexample/a", "", "percent"},
		{URI, "spiffe://bank.example/a?b", "", "query"},
		{URI, "spiffe://bank.example/a?", "", "query"},
		{URI, "spiffe://bank.example/a#b", "", "fragment"},
		{URI, "spiffe://bank.example/a#", "", "fragment"},
		{URI, "spiffe://bank.example/", "", "empty segment"},
		{URI, "spiffe://bank.example/a/", "", "empty segment"},
		{URI, "spiffe://bank.example//a", "", "empty segment"},
		{URI, "spiffe://bank.example/a/../b", "", "dot segment"},
		{URI, "spiffe://bank.example/./b", "", "dot segment"},
		{URI, "spiffe://bank.example/a b", "", "other characters"},
		{URI, "spiffe://bank.example/*", "", "wildcard"},
		{URI, "spiffe://*/a", "", "wildcard"},
		{URI, "spiffe://bank.example/\u0430", "", "other characters"},
		{URI, `spiffe://bank.example/a\b`, "", "other characters"},
		{URI, "spiffe://bank.example/" + strings.Repeat("a", 2048-22), "spiffe://bank.example/" + strings.Repeat("a", 2048-22), ""},
		{URI, "spiffe://bank.example/" + strings.Repeat("a", 2049-22), "", "2048"},

		{CN, "alice", "alice", ""},
		{CN, "Zoë", "Zoë", ""},
		{CN, "Łukasz-1", "Łukasz-1", ""},
		{CN, "иван", "иван", ""},
		{CN, "山田", "山田", ""},
		{CN, "नमस्ते", "नमस्ते", ""}, // marks of its own script
		{CN, strings.Repeat("ж", 64), strings.Repeat("ж", 64), ""},
		{CN, strings.Repeat("ж", 65), "", "64"},
		{CN, strings.Repeat("a", 1<<20), "", "64"},
		{CN, "", "", "empty"},
		{CN, "*", "", "wildcard"},
		{CN, "adm*", "", "wildcard"},
		{CN, "alice\x00", "", "control"},
		{CN, "alice\n", "", "white space"},
		{CN, " alice", "", "white space"},
		{CN, "alice b", "", "white space"},
		{CN, "alice\u00a0b", "", "white space"},
		{CN, "alice\x1b[0m", "", "control"},
		{CN, "ali\u200dce", "", "cannot be seen"},
		{CN, "ali\u202ece", "", "cannot be seen"},
		{CN, "ali\xffce", "", "UTF-8"},
		{CN, "\u0430dmin", "", "mixes Cyrillic and Latin"},
		{CN, "admi\u043d", "", "mixes Latin and Cyrillic"},
		{CN, "иванα", "", "mixes"},
		{CN, "\uff41dmin", "", "look like"},   // full width
		{CN, "\U0001d41admin", "", "look"},    // mathematical bold
		{CN, "e\u0301ve", "", "look like"},    // accent apart
		{CN, "\u0131nes", "", "look like"},    // dotless i
		{CN, "\u0251dmin", "", "look like"},   // Latin alpha
		{CN, "admin\u2215x", "", "look like"}, // division slash
		{CN, "\u212aelvin", "", "look like"},  // Kelvin sign
	}
	for _, c := range cases {
		got, err := checkName(c.kind, c.in)
		if c.want == "" {
			if err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%s name %.40q: got %q, %v, want an error with %q", c.kind, c.in, got, err, c.reason)
			} else if len(err.Error()) > 700 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s name %.40q: error is not fit to be shown: %q", c.kind, c.in, err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s name %.40q: got %q, %v, want %q", c.kind, c.in, got, err, c.want)
		}
		if again, err := checkName(c.kind, got); again != got || err != nil {
			t.Errorf("%s name %.40q: its one spelling %q becomes %q, %v", c.kind, c.in, got, again, err)
		}
	}
}

func TestParsePrincipal(t *testing.T) {
	for _, s := range []string{"uri:spiffe://bank.example/teller", "dns:bank.example", "email:Alice@bank.example", "cn:иван"} {
		p, err := ParsePrincipal(s)
		if err != nil || p.String() != s || p.Issuer != "" {
			t.Errorf("ParsePrincipal(%q) = %+v, %v", s, p, err)
		}
	}
	for s, want := range map[string]string{
		"":                    "is no principal",
		"alice":               "is no principal",
		"ip:127.0.0.1":        "is no principal",
		"DNS:bank.example":    "is no principal",
		"dns:":                "is empty",
		"dns:Bank.example":    `want "dns:bank.example"`,
		"email:a@BANK.com":    `want "email:a@bank.com"`,
		"uri:spiffe://B/a":    "host",
		"spiffe://bank/alice": "is no principal",
	} {
		if p, err := ParsePrincipal(s); err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "validator: ") != 1 {
			t.Errorf("ParsePrincipal(%q) = %+v, %v, want an error with %q", s, p, err, want)
		}
	}
}

func TestPrincipalMatches(t *testing.T) {
	a, b := issuerPrefix+strings.Repeat("0", 32), issuerPrefix+strings.Repeat("1", 32)
	p := Principal{Email, "alice@bank.example", a}
	for _, c := range []struct {
		rule Principal
		want bool
	}{
		{Principal{Email, "alice@bank.example", ""}, true},
		{Principal{Email, "alice@bank.example", a}, true},
		{Principal{Email, "alice@bank.example", b}, false},
		{Principal{DNS, "alice@bank.example", ""}, false},
		{Principal{Email, "alice@bank.exampl", ""}, false},
	} {
		if got := c.rule.Matches(p); got != c.want {
			t.Errorf("%+v matches %+v: %v, want %v", c.rule, p, got, c.want)
		}
	}
}
