package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyrossl/pyrossl/certs"
	"github.com/pyrossl/pyrossl/certs/ca"
	"github.com/pyrossl/pyrossl/validator"
)

// facts are what inspect shows of a certificate.
type facts struct {
	Subject     string    `json:"subject"`
	SANs        []string  `json:"sans"`
	Purposes    []string  `json:"purposes"` // extended key usages
	KeyUsages   []string  `json:"key_usages"`
	IsCA        bool      `json:"is_ca"`
	Permitted   []string  `json:"permitted,omitempty"` // name constraints of a CA
	Excluded    []string  `json:"excluded,omitempty"`
	Identity    string    `json:"identity"`              // to a broker without mapping rules
	NoIdentity  string    `json:"no_identity,omitempty"` // why there is none
	Issuer      string    `json:"issuer"`
	IssuerKeyID string    `json:"issuer_key_id,omitempty"`
	KeyID       string    `json:"key_id,omitempty"`
	Serial      string    `json:"serial"`
	Key         string    `json:"key"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	DaysLeft    float64   `json:"days_left"`
	SHA256      string    `json:"sha256"`      // of the certificate
	SPKISHA256  string    `json:"spki_sha256"` // of its public key

	// What the CA in --dir knows of it, if it is one of its certificates.

	CA        string    `json:"ca,omitempty"`
	State     ca.State  `json:"state,omitempty"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	Reason    ca.Reason `json:"reason,omitempty"`
}

func (a *app) inspectCommand() *cobra.Command {
	var asJSON bool
	var dir string
	c := &cobra.Command{
		Use:   "inspect FILE [flags]",
		Short: "show a certificate, and who it makes its holder to a broker",
		Long: `Show the certificates in a PEM file: names, purposes, dates, and the identity that a
broker without mapping rules derives from the first. Of those that the CA in DIR has
issued, show also what has become of them: live, renewed, revoked, expired or cut off.`,
		Example: "  mkcerts inspect pki/client.crt",
		Args:    exactly(1, "a FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			chain, err := readChain(args[0])
			if err != nil {
				return err
			}
			var all []facts
			for _, c := range chain {
				all = append(all, factsOf(c, chain))
			}
			a.addState(dir, all, chain)
			if asJSON {
				return a.printJSON(all)
			}
			return a.printFacts(all)
		},
	}
	c.Flags().StringVar(&dir, "dir", "pki", "`DIR` of the CA that may have issued it")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, one object a certificate")
	return c
}

// addState adds what the CA in a directory knows, if there is one.
func (a *app) addState(dir string, all []facts, chain []*x509.Certificate) {
	if !ca.Exists(dir) {
		return
	}
	for i, c := range chain {
		e, err := ca.Look(dir, c)
		if err != nil {
			a.say("warning: what has become of it is not known: %s", strings.TrimPrefix(err.Error(), "certs: "))
			return
		}
		if e != nil {
			all[i].CA, all[i].State, all[i].RevokedAt, all[i].Reason = e.CA, e.State, e.RevokedAt, e.Reason
		}
	}
}

// stateText describes what has become of a certificate.
func stateText(state ca.State, at time.Time, why ca.Reason) string {
	if state != ca.StateRevoked {
		return string(state)
	}
	text := "revoked on " + day(at)
	if why != "" && why != ca.Unspecified {
		text += " (" + string(why) + ")"
	}
	return text
}

func readChain(path string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &certs.Error{File: path, Reason: "cannot be read: " + strings.TrimPrefix(err.Error(), "open "+path+": "), Err: err}
	}
	chain, err := certs.ParseCertificates(data)
	if err != nil {
		return nil, inFile(path, err)
	}
	return chain, nil
}

func factsOf(c *x509.Certificate, chain []*x509.Certificate) facts {
	der, spki := sha256.Sum256(c.Raw), sha256.Sum256(c.RawSubjectPublicKeyInfo)
	f := facts{
		Subject: c.Subject.String(), SANs: sansOf(c), Purposes: extendedUsages(c), KeyUsages: keyUsages(c), IsCA: c.IsCA,
		Issuer: c.Issuer.String(), IssuerKeyID: hex.EncodeToString(c.AuthorityKeyId), KeyID: hex.EncodeToString(c.SubjectKeyId),
		Serial: fmt.Sprintf("%x", c.SerialNumber), Key: fmt.Sprint(c.PublicKeyAlgorithm),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), DaysLeft: time.Until(c.NotAfter).Hours() / 24,
		SHA256: hex.EncodeToString(der[:]), SPKISHA256: hex.EncodeToString(spki[:]),
	}
	f.Permitted = constraintsOf(c.PermittedDNSDomains, c.PermittedIPRanges, c.PermittedURIDomains, c.PermittedEmailAddresses)
	f.Excluded = constraintsOf(c.ExcludedDNSDomains, c.ExcludedIPRanges, c.ExcludedURIDomains, c.ExcludedEmailAddresses)
	if c.IsCA {
		f.NoIdentity = "it is a CA"
		return f
	}
	var none *validator.Mapper // the broker's rule without rules
	id, err := none.Identify([]*x509.Certificate{c, chain[len(chain)-1]})
	if err != nil {
		f.NoIdentity = strings.TrimPrefix(err.Error(), "validator: ")
		return f
	}
	f.Identity = id.Principal.String()
	return f
}

func sansOf(c *x509.Certificate) (all []string) {
	for _, n := range c.DNSNames {
		all = append(all, "dns:"+n)
	}
	for _, n := range c.IPAddresses {
		all = append(all, "ip:"+n.String())
	}
	for _, n := range c.URIs {
		all = append(all, "uri:"+n.String())
	}
	for _, n := range c.EmailAddresses {
		all = append(all, "email:"+n)
	}
	return all
}

func constraintsOf(dns []string, ip []*net.IPNet, uri, email []string) (all []string) {
	add := func(kind string, values []string) {
		for _, v := range values {
			all = append(all, kind+":"+v)
		}
	}
	add("dns", dns)
	for _, n := range ip {
		all = append(all, "ip:"+n.String())
	}
	add("uri", uri)
	add("email", email)
	return all
}

func extendedUsages(c *x509.Certificate) (all []string) {
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			all = append(all, "serverAuth")
		case x509.ExtKeyUsageClientAuth:
			all = append(all, "clientAuth")
		case x509.ExtKeyUsageCodeSigning:
			all = append(all, "codeSigning")
		default:
			all = append(all, fmt.Sprintf("usage %d", int(u)))
		}
	}
	for _, oid := range c.UnknownExtKeyUsage {
		all = append(all, oid.String())
	}
	return all
}

func keyUsages(c *x509.Certificate) (all []string) {
	for bit, name := range map[x509.KeyUsage]string{
		x509.KeyUsageDigitalSignature: "digitalSignature", x509.KeyUsageCertSign: "keyCertSign", x509.KeyUsageCRLSign: "cRLSign",
		x509.KeyUsageKeyEncipherment: "keyEncipherment", x509.KeyUsageKeyAgreement: "keyAgreement", x509.KeyUsageContentCommitment: "nonRepudiation",
		x509.KeyUsageDataEncipherment: "dataEncipherment",
	} {
		if c.KeyUsage&bit != 0 {
			all = append(all, name)
		}
	}
	return sorted(all)
}

func (a *app) printFacts(all []facts) error {
	for i, f := range all {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		row := func(name string, value any) { fmt.Fprintf(w, "%s\t%s\n", name, printable(fmt.Sprint(value))) }
		row("subject", or(f.Subject, "none"))
		row("proves", or(strings.Join(f.SANs, " "), "nothing"))
		row("for", or(strings.Join(f.Purposes, " "), map[bool]string{true: "signing certificates", false: "nothing"}[f.IsCA]))
		if !f.IsCA {
			row("identity", or(f.Identity, "none: "+f.NoIdentity))
		}
		if len(f.Permitted)+len(f.Excluded) > 0 {
			row("limited", or(strings.Join(f.Permitted, " "), "all")+prefixed(" but ", strings.Join(f.Excluded, " ")))
		}
		row("issuer", f.Issuer)
		if f.State != "" {
			row("state", stateText(f.State, f.RevokedAt, f.Reason)+", by "+f.CA)
		}
		row("serial", f.Serial)
		row("key", f.Key+", "+or(strings.Join(f.KeyUsages, " "), "any use"))
		row("key id", or(f.KeyID, "none")+prefixed(", signed by ", f.IssuerKeyID))
		row("valid", fmt.Sprintf("%s to %s (%s)", day(f.NotBefore), day(f.NotAfter), left(f.NotAfter)))
		row("sha-256", f.SHA256)
		row("public key", f.SPKISHA256)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func left(end time.Time) string {
	switch d := time.Until(end); {
	case d < 0:
		return "expired"
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f hours left", d.Hours())
	default:
		return fmt.Sprintf("%.0f days left", d.Hours()/24)
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
