package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// files are where a certificate comes from.
type files struct{ cert, key, ca string }

func (f *files) add(flags *pflag.FlagSet, whose string) {
	flags.StringVar(&f.cert, "cert", "", "`FILE` with "+whose+" certificate")
	flags.StringVar(&f.key, "key", "", "`FILE` with its private key, mode 0600")
	flags.StringVar(&f.ca, "ca", "", "`FILE` with the CAs that sign daemons")
}

// The files that `broker serve --dev` makes, and that clients use unless told
// otherwise.
const (
	devDir        = "./pki"
	devCA         = devDir + "/ca.crt"
	devClientCert = devDir + "/client.crt"
	devClientKey  = devDir + "/client.key"
	devGuestCert  = devDir + "/guest.crt"
	devGuestKey   = devDir + "/guest.key"
)

// clientFiles chooses a client's certificate: the flags, the environment, or the
// development certificate. Certificate and key always come from the same of these,
// since one of one and one of another cannot fit.
func (a *app) clientFiles(flags *pflag.FlagSet, f files) (files, error) {
	env, err := a.environment()
	if err != nil {
		return f, err
	}
	if f, err = pair(f, "--cert", "--key"); err != nil {
		return f, err
	}
	if f.cert == "" {
		if f.cert, f.key = env.Cert, env.Key; (f.cert == "") != (f.key == "") {
			return f, wrongUsage("set both or none", "only one of PYROSSL_CERT and PYROSSL_KEY is set")
		}
	}
	if f.ca == "" {
		f.ca = env.CA
	}
	dev := files{devClientCert, devClientKey, devCA}
	if f.cert == "" {
		if err := needFile(dev.cert, "certificate", "--cert FILE --key FILE"); err != nil {
			return f, err
		}
		f.cert, f.key = dev.cert, dev.key
	}
	if f.ca == "" {
		if err := needFile(dev.ca, "CA", "--ca FILE"); err != nil {
			return f, err
		}
		f.ca = dev.ca
	}
	return f, nil
}

// pair refuses a certificate without its key, and a key without its certificate.
func pair(f files, cert, key string) (files, error) {
	switch {
	case f.cert != "" && f.key == "":
		guess := strings.TrimSuffix(f.cert, ".crt") + ".key"
		return f, wrongUsage("add its key: "+key+" "+shellQuote(guess), "%s without %s", cert, key)
	case f.cert == "" && f.key != "":
		guess := strings.TrimSuffix(f.key, ".key") + ".crt"
		return f, wrongUsage("add its certificate: "+cert+" "+shellQuote(guess), "%s without %s", key, cert)
	}
	return f, nil
}

// needFile reports a development file that is not there.
func needFile(path, what, flags string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return failed("make one: broker serve --dev, or mkcerts issue you --client; or pass "+flags,
			"no %s: no flag and no PYROSSL_ variable names one, and there is no %s", what, path)
	}
	return nil
}
