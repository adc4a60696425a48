package validator

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/xdg-go/scram"
)

// The identification of a Default is SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) with
// tls-exporter channel binding (RFC 9266):
//
//	daemon: mechanism        client: client-first
//	daemon: server-first     client: client-final
//	daemon: server-final, as the proof in the welcome
//
// Channel binding is not negotiable, there is no authorization id, and extensions
// are refused.
const (
	mechanism = "SCRAM-SHA-256-PLUS tls-exporter"
	gs2Header = "p=tls-exporter,,"

	bindingSize = 32
	minNonce    = 16
	maxNonce    = 256
)

// serverScram is the daemon's side of one identification.
type serverScram struct {
	allowed *identifications
	user    string
	keys    []scram.StoredCredentials   // those that may be meant
	tries   []*scram.ServerConversation // one for each of them
	stored  []byte                      // the stored key of the one that was proved
	proved  bool
	over    bool
}

// CreateAuthChallenge asks for SCRAM if identifications are set.
func (d *Default) CreateAuthChallenge(_ context.Context, ex *Exchange) ([]byte, error) {
	allowed := d.allowed.Load()
	if allowed == nil {
		return nil, nil
	}
	if len(ex.ChannelBinding) != bindingSize {
		return nil, failf("32 bytes", "a channel binding of %d bytes", len(ex.ChannelBinding))
	}
	ex.scram = &serverScram{allowed: allowed}
	return []byte(mechanism), nil
}

// AcceptIdentification goes on with what CreateAuthChallenge began. A wrong
// passphrase and an unknown name are refused in the same words, after the same work.
func (d *Default) AcceptIdentification(_ context.Context, ex *Exchange, token []byte) (reply []byte, done bool, err error) {
	s, ok := ex.scram.(*serverScram)
	if !ok || s.over || len(ex.ChannelBinding) != bindingSize {
		return nil, false, refusedIdent("an identification that was not asked for", "", nil)
	}
	if len(token) > MaxToken {
		s.over = true
		return nil, false, tooLong(len(token))
	}
	if s.tries == nil {
		first, err := s.begin(ex, string(token))
		s.over = err != nil
		return []byte(first), false, err
	}
	s.over = true
	final, err := s.finish(ex, string(token))
	if err != nil {
		return nil, false, err
	}
	s.proved, ex.User, s.keys, s.tries = true, s.user, nil, nil
	return []byte(final), true, nil
}

// begin takes the client-first message and gives the server-first one.
func (s *serverScram) begin(ex *Exchange, token string) (string, error) {
	if err := checkClientFirst(token); err != nil {
		return "", err
	}
	binding := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: ex.ChannelBinding}
	nonce := rand.Text()
	conversation := func(lookup scram.CredentialLookup) (*scram.ServerConversation, error) {
		server, err := scram.SHA256.NewServer(lookup)
		if err != nil {
			return nil, err
		}
		return server.WithNonceGenerator(func() string { return nonce }).NewConversationWithChannelBindingRequired(binding), nil
	}
	// The first conversation learns the name; all of them send the same message.
	var keys []scram.StoredCredentials
	var tries []*scram.ServerConversation
	first := ""
	for i := 0; i == 0 || i < len(keys); i++ {
		c, err := conversation(func(name string) (scram.StoredCredentials, error) {
			if i == 0 {
				s.user, keys = name, s.allowed.of(name)
			}
			return keys[i], nil
		})
		if err == nil {
			first, err = c.Step(token)
		}
		if err != nil {
			return "", malformed(err)
		}
		tries = append(tries, c)
	}
	s.keys, s.tries = keys, tries
	return first, nil
}

// finish takes the client-final message and gives the server's proof. Every
// candidate is tried to the end.
func (s *serverScram) finish(ex *Exchange, token string) (string, error) {
	bound, err := clientBinding(token)
	if err != nil {
		return "", err
	}
	if !hmac.Equal(bound, append([]byte(gs2Header), ex.ChannelBinding...)) {
		return "", refusedIdent("an identification that was made for another connection", "one for this connection; somebody may stand between the two sides", nil)
	}
	proof := ""
	for i, c := range s.tries {
		if v, err := c.Step(token); err == nil && c.Valid() {
			proof, s.stored = v, s.keys[i].StoredKey
		}
	}
	if proof == "" {
		return "", refusedIdent("an identification that is not accepted", "a passphrase, or login and passphrase, that the daemon allows", nil)
	}
	return proof, nil
}

// checkClientFirst holds the message to RFC 5802 section 7 more closely than the
// library: our header, four attributes, no extensions.
func checkClientFirst(token string) error {
	rest, ok := strings.CutPrefix(token, gs2Header)
	if !ok {
		return malformed(errors.New("no channel binding of type tls-exporter, or an authorization id"))
	}
	name, nonce, ok := strings.Cut(rest, ",r=")
	if !ok || !strings.HasPrefix(name, "n=") || strings.Contains(name, ",") {
		return malformed(errors.New("no name and nonce"))
	}
	if len(name) > 2+3*maxLogin { // each byte may be escaped
		return malformed(errors.New("name too long"))
	}
	if len(nonce) < minNonce || len(nonce) > maxNonce || strings.IndexFunc(nonce, notNonce) >= 0 {
		return malformed(errors.New("bad nonce"))
	}
	return nil
}

// notNonce is the opposite of "printable" in RFC 5802 section 7.
func notNonce(r rune) bool { return r <= ' ' || r > '~' || r == ',' }

// clientBinding gives what the client-final message says that it is bound to.
func clientBinding(token string) ([]byte, error) {
	fields := strings.Split(token, ",")
	if len(fields) != 3 || !strings.HasPrefix(fields[0], "c=") || !strings.HasPrefix(fields[1], "r=") || !strings.HasPrefix(fields[2], "p=") {
		return nil, malformed(errors.New("no channel binding, nonce and proof"))
	}
	bound, err := base64.StdEncoding.Strict().DecodeString(fields[0][2:])
	if err != nil {
		return nil, malformed(errors.New("channel binding is not base64"))
	}
	return bound, nil
}

func malformed(err error) error {
	return refusedIdent("an identification message that cannot be read", mechanism, err)
}

// refusedIdent makes a Denial. err goes to the log: none of the library's errors
// that hold the binding of the connection are passed on.
func refusedIdent(got, want string, err error) error {
	return &Denial{Code: DeniedSecurity, Check: CheckIdentification, Got: got, Want: want, Err: err}
}
