package certs

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"time"

	"github.com/pyrossl/pyrossl/validator"
)

// Alerts of RFC 8446, section 6.2, that say something about us.
const (
	alertHandshakeFailure       = 40
	alertBadCertificate         = 42
	alertUnsupportedCertificate = 43
	alertCertificateRevoked     = 44
	alertCertificateExpired     = 45
	alertCertificateUnknown     = 46
	alertUnknownCA              = 48
	alertAccessDenied           = 49
	alertDecryptError           = 51
	alertProtocolVersion        = 70
	alertInsufficientSecurity   = 71
	alertInternalError          = 80
	alertUnrecognizedName       = 112
	alertCertificateRequired    = 116
	alertNoApplicationProtocol  = 120
)

// remoteAlert finds the alert that the other side sent. crypto/tls does not export
// its type; it is a uint8 inside a *net.OpError whose Op is "remote error".
func remoteAlert(err error) (code uint8, ok bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 || v.Type().PkgPath() != "crypto/tls" {
		return 0, false
	}
	return uint8(v.Uint()), true
}

// ourSettings are what a peer needs to have one of.
const ourSettings = "TLS 1.3 with X25519MLKEM768, X25519 or P-256, and an ECDSA, Ed25519 or RSA certificate"

// fromAlert explains an alert with what we know about our own side, since an alert
// is a number and nothing more.
func (v view) fromAlert(code uint8) *validator.Denial {
	who := "the " + v.peer.peer()
	switch code {
	case alertCertificateRequired:
		return security(validator.CheckChain, who+" received no certificate from us", "our certificate to arrive; something between us and "+who+" may have ended our TLS connection")
	case alertUnknownCA:
		return v.notTrusted()
	case alertCertificateExpired:
		return v.expired()
	case alertBadCertificate, alertCertificateUnknown, alertUnsupportedCertificate:
		return v.badCertificate(code)
	case alertCertificateRevoked:
		return security(checkRevocation, who+" holds as revoked "+v.sent(), "a new certificate for us, or a newer revocation list on the other side")
	case alertAccessDenied:
		return security(validator.CheckAdmission, who+" denies access to "+v.sent(), "its operator to admit us")
	case alertDecryptError:
		return security(validator.CheckChain, who+" could not verify our signature, made with the key of "+v.sent(), "a key and certificate that belong together")
	case alertProtocolVersion:
		return security(validator.CheckProtocol, who+" does not speak TLS 1.3", "TLS 1.3")
	case alertHandshakeFailure, alertInsufficientSecurity:
		return security(validator.CheckProtocol, who+" found no TLS settings in common with ours", ourSettings)
	case alertNoApplicationProtocol:
		return security(validator.CheckALPN, who+" speaks another application protocol than "+ALPN, "a Pyrossl daemon"+v.at()+"; check host and port")
	case alertUnrecognizedName:
		return security(validator.CheckName, who+" does not know the host name"+v.at(), "a name that the server serves; check the URI")
	case alertInternalError:
		return refusal(validator.DeniedUnspecified, validator.CheckProtocol, who+" reports an internal error of its own", "a look at its log")
	}
	return refusal(validator.DeniedUnspecified, validator.CheckProtocol, fmt.Sprintf("%s ended the connection with TLS alert %d", who, code), v.program())
}

// sent describes the certificate that the other side has seen.
func (v view) sent() string {
	if !v.ours.made() {
		return "what we sent instead of a certificate"
	}
	return "our certificate for " + describe(v.ours.Leaf())
}

func (v view) notTrusted() *validator.Denial {
	who := v.peer.peer()
	if !v.ours.made() {
		return security(validator.CheckChain, "the "+who+" does not trust us", "a certificate by an authority that it trusts")
	}
	if selfSigned(v.ours.Leaf()) {
		return security(validator.CheckChain, fmt.Sprintf("the %s does not trust %s: it is self-signed", who, v.sent()), "one issued by an authority that the "+who+" trusts")
	}
	want := fmt.Sprintf("the %s's CA file to hold our authority, or a certificate for us by one that it trusts", who)
	if len(v.ours.Chain) == 1 && !v.anchored() {
		want += "; we sent no intermediate certificate: if ours was issued by one, our certificate file must hold it too, after our own"
	}
	return security(validator.CheckChain, fmt.Sprintf("the %s does not trust who issued %s", who, v.sent()), want)
}

// expired finds which of the certificates we sent is meant. crypto/tls sends the
// same alert for one that is not valid yet.
func (v view) expired() *validator.Denial {
	who := "the " + v.peer.peer()
	if v.ours.made() {
		for _, c := range v.ours.Chain {
			if d := checkDates(c, time.Now()); d != nil {
				d.Got = who + " refused our " + d.Got
				return d
			}
		}
	}
	return security(validator.CheckDates, who+" holds as expired "+v.sent(),
		"clocks that agree: by ours it is valid now ("+day(time.Now())+"); or an authority renewed on the other side, if that has expired")
}

// badCertificate is the alert for everything else. Servers built on crypto/tls send
// it for a wrong purpose, for an authority's certificate, for constraints, and for
// what a daemon's own rules refuse during the handshake; clients built on it send it
// for every fault of a server's certificate.
func (v view) badCertificate(code uint8) *validator.Denial {
	who := "the " + v.peer.peer()
	if !v.ours.made() {
		return security(validator.CheckChain, who+" refused "+v.sent(), "a certificate for us")
	}
	if d := CheckLeaf(v.ours.Leaf(), v.own(), time.Now()); d != nil {
		d.Got = who + " refused our " + d.Got
		return d
	}
	if code == alertUnsupportedCertificate {
		return security(validator.CheckChain, who+" cannot use "+v.sent(), "a certificate for us with another kind of key, ECDSA P-256 at best")
	}
	if v.peer == ClientAuth {
		return security(validator.CheckChain, who+" refused "+v.sent(),
			"the client's CA file to hold our authority, the host it asked for to be among our names, and our certificate not to be revoked; its own error says which")
	}
	return security(validator.CheckChain, "the server's own checks refused "+v.sent(),
		"its operator to look into the server's log, which names the check (a name constraint, a revocation, or a rule of the server's)")
}

// anchored reports whether our leaf was issued by one of the authorities that we
// trust ourselves, so that it needs no intermediate.
func (v view) anchored() bool {
	for _, r := range v.ours.Roots {
		if issued(r, v.ours.Leaf()) {
			return true
		}
	}
	return false
}
