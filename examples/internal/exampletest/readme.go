package exampletest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A section is what the README has about an example.
type section struct {
	name   string
	blocks [][]Command // the console blocks, each with its commands
}

// A Command is one of a console block, with what it prints there.
type Command struct {
	line    string // as it stands there
	stdin   string
	env     []string
	program string // "./examples/quickstart/server"
	args    []string
	output  string
}

var fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

// findSection reads the section "## name".
func findSection(readme, name string) (section, error) {
	_, text, found := strings.Cut(readme, "\n## "+name+"\n")
	if !found {
		return section{}, fmt.Errorf("README.md has no section %q", "## "+name)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return parseSection(fmt.Sprintf("section %q of README.md", name), name, text)
}

// parseSection reads the console blocks of a text, which stands where where says.
func parseSection(where, name, text string) (section, error) {
	s := section{name: name}
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		if m[1] != "console" {
			continue
		}
		b, err := parseBlock(m[2])
		if err != nil {
			return s, fmt.Errorf("%s: %w", where, err)
		}
		s.blocks = append(s.blocks, b)
	}
	if len(s.blocks) == 0 {
		return s, fmt.Errorf("%s has no console block", where)
	}
	return s, nil
}

func (s section) commands() []Command { return slices.Concat(s.blocks...) }

// certificates lists the names that the README has issued before all examples.
func certificates(readme string) ([]string, error) {
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^go run \./cmd/mkcerts issue (\S+)$`).FindAllStringSubmatch(readme, -1) {
		names = append(names, m[1])
	}
	if len(names) < 2 {
		return nil, fmt.Errorf("README.md has %q issued, want a server's certificate and a client's", names)
	}
	return names, nil
}

func parseBlock(text string) ([]Command, error) {
	var commands []Command
	text = strings.ReplaceAll(text, "\\\n", "")
	for line := range strings.Lines(text) {
		typed, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case isCommand:
			c, err := parseCommand(strings.TrimSuffix(typed, "\n"))
			if err != nil {
				return nil, err
			}
			commands = append(commands, c)
		case len(commands) == 0:
			return nil, fmt.Errorf("a console block begins %q, want \"$ \" and a command", line)
		default:
			commands[len(commands)-1].output += line
		}
	}
	return commands, nil
}

func parseCommand(line string) (Command, error) {
	words := strings.Fields(line)
	c := Command{line: strings.Join(words, " ")}
	if pipe := slices.Index(words, "|"); pipe > 0 && words[0] == "echo" {
		c.stdin, words = strings.Join(words[1:pipe], " ")+"\n", words[pipe+1:]
	}
	for len(words) > 0 && strings.Contains(words[0], "=") {
		c.env, words = append(c.env, words[0]), words[1:]
	}
	if len(words) < 3 || words[0] != "go" || words[1] != "run" || !strings.HasPrefix(words[2], "./") {
		return c, fmt.Errorf("command %q: want [echo TEXT |] [NAME=VALUE] go run ./PROGRAM", line)
	}
	c.program, c.args = words[2], words[3:]
	return c, nil
}

// isServer reports whether the program goes on while others run.
func (c Command) isServer() bool { return strings.HasPrefix(path.Base(c.program), "server") }

// port is where the README has a server listen.
func (c Command) port() string {
	if i := slices.Index(c.args, "-addr"); i >= 0 {
		return c.args[i+1][strings.LastIndex(c.args[i+1], ":")+1:]
	}
	return "7766"
}

// listening are the arguments of a server that takes any port that is free.
func (c Command) listening() []string {
	const free = "127.0.0.1:0"
	if i := slices.Index(c.args, "-addr"); i >= 0 {
		return slices.Concat(c.args[:i+1], []string{free}, c.args[i+2:])
	}
	return append([]string{"-addr", free}, c.args...)
}

// calling are the arguments of a client of these servers: it calls the first one,
// unless the README says more.
func (c Command) calling(servers []*Process) []string {
	args := slices.Clone(c.args)
	for i := range args {
		for _, p := range servers {
			args[i] = strings.ReplaceAll(args[i], ":"+p.command.port(), ":"+portOf(p.uri))
		}
	}
	if strings.HasPrefix(c.program, "./examples/") && len(servers) > 0 && !slices.Contains(args, "-uri") {
		args = append([]string{"-uri", servers[0].uri}, args...)
	}
	return args
}

// portOf is the port in a URI.
func portOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	authority, _, _ := strings.Cut(rest, "/")
	return authority[strings.LastIndex(authority, ":")+1:]
}
