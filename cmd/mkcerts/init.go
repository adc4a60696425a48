package main

import (
	"bytes"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/certs/ca"
)

// caFlags say which CA, and how it shall be if it has to be made.
type caFlags struct {
	dir            string
	name           string
	caKeyType      string
	permit         []string
	passphraseFile string
}

func (f *caFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.dir, "dir", "pki", "`DIR` of the CA")
	fs.StringVar(&f.passphraseFile, "passphrase-file", "", "`FILE` whose first line encrypts the CA's keys; - is standard input, /dev/fd/3 a descriptor")
}

func (f *caFlags) addNew(fs *pflag.FlagSet) {
	fs.StringVar(&f.name, "name", "", "`NAME` of the CA in its certificates")
	fs.StringVar(&f.caKeyType, "key-type", "ecdsa", "`KIND` of its keys: ecdsa, ed25519, rsa-2048, rsa-3072 or rsa-4096")
	fs.StringArrayVar(&f.permit, "permit", nil, "only NAMES that it may vouch for, as `KIND:NAME`: dns:DOMAIN, ip:NETWORK, uri:HOST, email:HOST; may be repeated")
	f.add(fs)
}

func (f *caFlags) options() (ca.Options, error) {
	o := ca.Options{Name: f.name, Permit: f.permit}
	var err error
	if o.KeyType, err = ca.ParseKeyType(f.caKeyType); err != nil {
		return o, asUsage(err)
	}
	if f.passphraseFile != "" {
		phrase, err := readPassphrase(f.passphraseFile)
		if err != nil {
			return o, err
		}
		o.Passphrase = func() ([]byte, error) { return bytes.Clone(phrase), nil } // what it returns is overwritten
	}
	return o, nil
}

// readPassphrase reads the first line of a file. It is never taken from the command
// line, where others can see it.
func readPassphrase(path string) ([]byte, error) {
	read := func() ([]byte, error) { return os.ReadFile(path) }
	if path == "-" {
		read = func() ([]byte, error) { return io.ReadAll(io.LimitReader(os.Stdin, maxPassphrase)) }
	}
	data, err := read()
	if err != nil {
		return nil, &certs.Error{File: path, Reason: "cannot be read: " + strings.TrimPrefix(err.Error(), "open "+path+": "), Err: err}
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return nil, &certs.Error{File: path, Reason: "its first line is empty, want a passphrase"}
	}
	return line, nil
}

// maxPassphrase bounds what is read from standard input.
const maxPassphrase = 64 << 10

func (a *app) initCommand() *cobra.Command {
	var f caFlags
	c := &cobra.Command{
		Use:   "init [flags]",
		Short: "make a CA",
		Long: `Make a CA: a root, and an intermediate that signs the certificates. A CA that is there
is kept. "mkcerts issue" does this by itself; init is for a CA with limits, another
kind of keys, or keys that are encrypted.

With --permit, the CA is good for names below those only, and for no other kind of
names: it can be trusted by others without fear of the rest.`,
		Example: `  mkcerts init --permit dns:bank.example --permit email:bank.example
  mkcerts init --dir ca --passphrase-file ca-passphrase`,
		Args: exactly(0, ""), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error { return a.init(&f) },
	}
	f.addNew(c.Flags())
	return c
}

func (a *app) init(f *caFlags) error {
	if ca.Exists(f.dir) {
		if f.name != "" || len(f.permit) > 0 {
			return wrongUsage("use it, or make another one: mkcerts init --dir DIR", "there is a CA in %s already, which was made with settings of its own", f.dir)
		}
		a.say("%s has a CA already; nothing was changed", f.dir)
		return nil
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	made, err := ca.Create(f.dir, o)
	if err != nil {
		return err
	}
	a.say("made a CA in %s: %s, until %s", f.dir, made.Root().Subject, day(made.Root().NotAfter))
	a.say("  whoever shall trust it gets %s/%s", f.dir, ca.TrustFile)
	if len(f.permit) > 0 {
		a.say("  it may vouch for %s, and nothing else", strings.Join(f.permit, " "))
	}
	return nil
}
