package validator

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

// clientScram is the client's side of one identification.
type clientScram struct {
	conversation *scram.ClientConversation
	keys         *clientKeys
	messages     int
}

// clientKeys is one identification with the keys that were computed of it, so that
// connecting again costs no more than a few hashes.
type clientKeys struct {
	client  *scram.Client
	factors map[scram.KeyFactors]bool // for which client has kept keys
}

// Limits of what is kept on the client's side. A daemon that sends a new salt each
// time, or a program with many logins, costs time and not memory.
const (
	maxClients = 64
	maxFactors = 16
)

// CreateAuthToken answers the daemon's SCRAM messages with the identification that
// was set, and in the end verifies that the daemon knew its keys.
func (d *Default) CreateAuthToken(_ context.Context, ex *Exchange, challenge []byte) ([]byte, error) {
	if len(challenge) > MaxToken {
		return nil, tooLong(len(challenge))
	}
	s, begun := ex.scram.(*clientScram)
	switch {
	case ex.Final:
		if !begun || s.messages != 2 {
			return nil, refusedIdent("a daemon that ends the identification before it knows who we are", "", nil)
		}
		s.messages++
		if _, err := s.conversation.Step(string(challenge)); err != nil || !s.conversation.Valid() {
			return nil, refusedIdent("a daemon that accepts the identification without knowing it", "its proof; somebody else may answer there", nil)
		}
		return nil, nil
	case !begun:
		s, err := d.beginClient(ex, string(challenge))
		if err != nil {
			return nil, err
		}
		ex.scram = s
		s.messages++
		first, err := s.conversation.Step("")
		return []byte(first), err
	case s.messages == 1:
		s.messages++
		return d.answerClient(ex, s, string(challenge))
	}
	return nil, refusedIdent("too many identification messages from the daemon", "", nil)
}

// beginClient prepares the client's side.
func (d *Default) beginClient(ex *Exchange, challenge string) (*clientScram, error) {
	switch {
	case challenge != mechanism:
		return nil, refusedIdent("a daemon that asks for the identification "+quote(challenge), quote(mechanism)+", or a validator that understands the daemon's", nil)
	case ex.Ident == nil:
		return nil, refusedIdent("a daemon that asks for an identification", "one set on the client or proxy: validator.Passphrase or validator.Login", nil)
	case len(ex.ChannelBinding) != bindingSize:
		return nil, refusedIdent("a connection without channel binding", "", nil)
	}
	l, err := login(ex.Ident)
	if err != nil {
		return nil, err
	}
	keys, err := d.keysOf(l)
	if err != nil {
		return nil, err
	}
	binding := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: ex.ChannelBinding}
	return &clientScram{keys: keys, conversation: keys.client.NewConversationWithChannelBinding(binding)}, nil
}

// answerClient takes the server-first message and gives the client-final one.
func (d *Default) answerClient(ex *Exchange, s *clientScram, challenge string) ([]byte, error) {
	factors, err := serverFactors(challenge)
	if err != nil {
		return nil, err
	}
	final, err := s.conversation.Step(challenge)
	if err != nil {
		return nil, refusedIdent("an identification message from the daemon that cannot be read", mechanism, nil)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.keys.factors[factors] = true; len(s.keys.factors) > maxFactors {
		if l, err := login(ex.Ident); err == nil {
			delete(d.clients, l)
		}
	}
	return []byte(final), nil
}

// serverFactors checks the server-first message: a daemon that is not what it seems
// must neither weaken the keys (RFC 7677 section 4) nor keep us computing.
func serverFactors(message string) (kf scram.KeyFactors, err error) {
	bad := refusedIdent("an identification message from the daemon that cannot be read", mechanism, nil)
	fields := strings.Split(message, ",")
	if len(fields) != 3 || !strings.HasPrefix(fields[0], "r=") || !strings.HasPrefix(fields[1], "s=") || !strings.HasPrefix(fields[2], "i=") {
		return kf, bad
	}
	salt, err := base64.StdEncoding.DecodeString(fields[1][2:])
	if err != nil || len(salt) == 0 {
		return kf, bad
	}
	n, err := strconv.Atoi(fields[2][2:])
	if err != nil {
		return kf, bad
	}
	if err := checkIterations(n); err != nil {
		return kf, refusedIdent("a daemon that asks for "+strconv.Itoa(n)+" PBKDF2 iterations", strconv.Itoa(minIterations)+"–"+strconv.Itoa(maxIterations), nil)
	}
	return scram.KeyFactors{Salt: string(salt), Iters: n}, nil
}

// keysOf finds or makes the keys of a login.
func (d *Default) keysOf(l Login) (*clientKeys, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.clients[l]; k != nil {
		return k, nil
	}
	c, err := scramClient(l)
	if err != nil {
		return nil, err
	}
	if len(d.clients) >= maxClients {
		clear(d.clients)
	}
	if d.clients == nil {
		d.clients = make(map[Login]*clientKeys)
	}
	k := &clientKeys{client: c, factors: make(map[scram.KeyFactors]bool)}
	d.clients[l] = k
	return k, nil
}
