package ingress

import (
	"errors"
	"fmt"
	"strings"

	"quittance.internal/libs/platform/env"
)

// Secret is the signing secret of one webhook endpoint, under the name that operators know it by.
type Secret struct {
	// Name is 1 to 64 of A-Z a-z 0-9 _ -; it appears in logs and in the stored messages.
	Name string
	// Key is the whole secret as Stripe shows it, "whsec_" included: Stripe signs with all of it.
	Key env.Secret
}

// maxSecretName bounds a name, in bytes.
const maxSecretName = 64

// ParseSecrets reads "name=whsec_…,name2=whsec_…". The error joins all faults as CheckSecrets finds them; it never holds
// a piece of a secret.
func ParseSecrets(list string) ([]Secret, error) {
	if list == "" {
		return nil, CheckSecrets(nil)
	}
	var secrets []Secret
	var faults []error
	for i, entry := range strings.Split(list, ",") {
		name, key, found := strings.Cut(entry, "=")
		if !found { // the entry may be a bare secret: do not show it
			faults = append(faults, fmt.Errorf("entry %d is not of the form name=secret", i+1))
			continue
		}
		secrets = append(secrets, Secret{Name: name, Key: env.NewSecret(key)})
	}
	if len(faults) == 0 || len(secrets) > 0 {
		faults = append(faults, CheckSecrets(secrets))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return secrets, nil
}

// CheckSecrets returns every reason why secrets must not be used: none at all; a name that is malformed or given twice;
// a secret that is empty, holds spaces, line breaks or other unprintable characters, or is given twice.
//
// An empty secret verifies what anybody can sign; a secret with a stray space verifies nothing that Stripe signs.
func CheckSecrets(secrets []Secret) error {
	if len(secrets) == 0 {
		return errors.New("no signing secret is given")
	}
	var faults []error
	names, keys := map[string]bool{}, map[string]int{}
	for i, s := range secrets {
		key := s.Key.Reveal()
		switch {
		case !validSecretName(s.Name): // not shown: it may be half of a mangled secret
			faults = append(faults, fmt.Errorf("entry %d: the name is not 1 to %d of A-Z a-z 0-9 _ -", i+1, maxSecretName))
			continue
		case names[s.Name]:
			faults = append(faults, fmt.Errorf("entry %d: the name %s is given twice", i+1, s.Name))
		case key == "" || key == "whsec_":
			faults = append(faults, fmt.Errorf("entry %d: the secret %s is empty", i+1, s.Name))
		case strings.ContainsFunc(key, unprintable):
			faults = append(faults, fmt.Errorf("entry %d: the secret %s holds a space or an unprintable character", i+1, s.Name))
		case keys[key] > 0:
			faults = append(faults, fmt.Errorf("entry %d: the secret %s is the same as that of entry %d", i+1, s.Name, keys[key]))
		}
		names[s.Name] = true
		if keys[key] == 0 {
			keys[key] = i + 1
		}
	}
	return errors.Join(faults...)
}

func unprintable(r rune) bool { return r <= ' ' || r > '~' }

const alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func validSecretName(name string) bool {
	return name != "" && len(name) <= maxSecretName && strings.Trim(name, alphanumeric+"_-") == ""
}
