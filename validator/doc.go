// Package validator answers three questions about the other side of a
// connection: who is it, may it connect, and may it make this call?
//
// # Who
//
// A verified certificate chain proves [Principal] values: typed names such as
// "uri:spiffe://bank.example/teller" or "email:alice@bank.example", each together
// with the trust anchor that vouches for it. A [Mapper] makes one [Identity] of
// them, with a name and roles, by rules that the operator writes. Without rules a
// certificate must carry exactly one URI, DNS or e-mail name, and that is who it
// is. There is no falling through from one kind of name to the next, and a
// certificate with a name that cannot be trusted (a wildcard, a control character,
// mixed scripts) is refused rather than read without it.
//
// # May it connect
//
// A [Validator] has Pyro's steps: AcceptHost, CheckCertificate, then a second
// factor by CreateAuthChallenge, CreateAuthToken and AcceptIdentification. Begin
// with [New]; to change a step, embed *[Default] and override its method:
//
//	type officeHours struct{ *validator.Default }
//
//	func (officeHours) CheckCertificate(ctx context.Context, id validator.Identity, leaf *x509.Certificate) error {
//		if h := time.Now().Hour(); h < 8 || h > 18 {
//			return errors.New("the bank is closed")
//		}
//		return nil
//	}
//
// The order of the steps is not the validator's: a daemon runs them through
// [Steps], which runs Default's own check first and the override after it. So an
// override can only narrow. Nobody is let in unless [Config] says who: the zero
// Default refuses everyone.
//
// # May it call
//
// An [Authorizer] is asked before every call. [Rules] is one in code: deny unless
// a rule allows, and a rule that denies wins. Package validator/rulefile reads
// mapping rules and authorization rules from YAML.
//
// # Security considerations
//
// A name says little without who vouches for it. Where a daemon trusts more than
// one root, each of them can issue any name: pin the issuer in mapping rules
// ([MapRule].Issuer), in [Config].Admit ([IssuedBy]) or in [Rule].Issuers. The second factor is
// SCRAM-SHA-256 bound to the TLS connection (RFC 9266): a proof is worth nothing on
// any other connection. It comes on top of the certificate and never replaces it.
package validator
