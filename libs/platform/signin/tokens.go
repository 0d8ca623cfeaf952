package signin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/platform/env"
)

// The roles of a token. What each may do is decided by the service that it is
// presented to.
const (
	RoleSeller   = "seller"
	RoleViewer   = "viewer"
	RoleOperator = "operator"
	RoleAdmin    = "admin"
)

// DefaultSeller is the seller of a token that names none.
const DefaultSeller = "main"

// weakToken is the length below which a token is worth a warning.
const weakToken = 20

// Token is one entry of API_TOKENS: who calls, what he may do, and for which
// seller. The token itself is kept as its hash and keys made from it only.
type Token struct {
	Name, Role, Seller string
	// Bound says that the entry names its seller: the token is for that seller's
	// business and no other.
	Bound bool
	hash  [sha256.Size]byte
	weak  bool
	// sessionRef and sessionKey name and sign the sessions of this token.
	sessionRef string
	sessionKey [sha256.Size]byte
}

// ParseTokens reads "name:role[@seller]:token,…". It returns every fault at once
// and never quotes a token in one.
func ParseTokens(s string) ([]Token, error) {
	var list []Token
	var faults []error
	for i, entry := range strings.Split(s, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		t, err := parseToken(entry)
		if err != nil {
			faults = append(faults, fmt.Errorf("entry %d: %w", i+1, err))
			continue
		}
		for _, other := range list {
			if other.Name == t.Name {
				faults = append(faults, fmt.Errorf("entry %d: the name %s is given twice", i+1, t.Name))
			}
			if other.hash == t.hash {
				faults = append(faults, fmt.Errorf("entry %d: has the token of %s", i+1, other.Name))
			}
		}
		list = append(list, t)
	}
	if len(list) == 0 && len(faults) == 0 {
		faults = append(faults, errors.New("is required: name:role[@seller]:token, separated by commas"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return list, nil
}

func parseToken(entry string) (Token, error) {
	parts := strings.SplitN(entry, ":", 3)
	if len(parts) != 3 {
		return Token{}, errors.New("is not of the form name:role[@seller]:token")
	}
	role, seller, named := strings.Cut(parts[1], "@")
	if !named {
		seller = DefaultSeller
	}
	secret := parts[2]
	switch {
	case parts[0] == "" || len(parts[0]) > 64:
		return Token{}, errors.New("the name is empty or longer than 64 bytes")
	case !slices.Contains([]string{RoleSeller, RoleViewer, RoleOperator, RoleAdmin}, role):
		return Token{}, fmt.Errorf("the role of %s is none of seller, viewer, operator, admin", parts[0])
	case !event.ValidSeller(seller):
		return Token{}, fmt.Errorf("the seller of %s is not made of letters, digits and _, or is named like a Stripe account (acct_…, platform)", parts[0])
	case secret == "" || strings.ContainsAny(secret, " \t\r\n"):
		return Token{}, fmt.Errorf("the token of %s is empty or has spaces in it", parts[0])
	}
	t := Token{Name: parts[0], Role: role, Seller: seller, Bound: named, hash: sha256.Sum256([]byte(secret)), weak: len(secret) < weakToken}
	t.sessionRef, t.sessionKey = sessionSecrets(secret)
	return t, nil
}

// Tokens holds the tokens in force. It is safe for concurrent use.
type Tokens struct{ list atomic.Pointer[[]Token] }

// NewTokens returns Tokens of which the list is in force.
func NewTokens(list []Token) *Tokens {
	t := &Tokens{}
	t.list.Store(&list)
	return t
}

// Count is how many are in force.
func (t *Tokens) Count() int { return len(*t.list.Load()) }

// Find looks a presented token up. It compares hashes in constant time, with
// every entry, so that the time says neither how much of one nor which matched.
func (t *Tokens) Find(presented string) (Token, bool) {
	hash := sha256.Sum256([]byte(presented))
	var found Token
	matched := 0
	for _, candidate := range *t.list.Load() {
		if same := subtle.ConstantTimeCompare(hash[:], candidate.hash[:]); same == 1 {
			found, matched = candidate, 1
		}
	}
	return found, matched == 1
}

// Follow takes new content of the file into use until ctx ends, looking every so often, so that tokens change without a restart.
// What cannot be used is logged and the tokens in force stay. Without a path it returns at once.
func (t *Tokens) Follow(ctx context.Context, path string, every time.Duration, log *zap.Logger) {
	warnOfWeak(*t.list.Load(), log)
	env.FollowSecretFile(ctx, path, every, func(content env.Secret, err error) {
		var list []Token
		if err == nil {
			list, err = ParseTokens(content.Reveal())
		}
		if err != nil {
			log.Error("api tokens cannot be used, the old ones stay", zap.Error(fmt.Errorf("read API_TOKENS_FILE: %w", err)))
			return
		}
		if slices.Equal(list, *t.list.Load()) {
			return
		}
		t.list.Store(&list)
		log.Info("api tokens changed", zap.Int("tokens", len(list)))
		warnOfWeak(list, log)
	})
}

func warnOfWeak(list []Token, log *zap.Logger) {
	for _, token := range list {
		if token.weak {
			log.Warn("api token is short enough to be guessed", zap.String("token_name", token.Name))
		}
	}
}
