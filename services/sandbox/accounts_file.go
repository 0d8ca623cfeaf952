package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.uber.org/zap"
)

// keptAccount is an account as Config.AccountsFile has it.
type keptAccount struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	Country       string `json:"country"`
	Activated     bool   `json:"activated"`
	ConnectedTest bool   `json:"connected_test"`
	ConnectedLive bool   `json:"connected_live"`
}

// readAccounts puts the kept accounts in the place of the configured ones. A file that does not exist yet is none.
func (s *sim) readAccounts() error {
	if s.cfg.AccountsFile == "" {
		return nil
	}
	b, err := os.ReadFile(s.cfg.AccountsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read accounts: %w", err)
	}
	var kept []keptAccount
	if err := json.Unmarshal(b, &kept); err != nil {
		return fmt.Errorf("read accounts from %s: %w", s.cfg.AccountsFile, err)
	}
	s.accounts = s.accounts[:1] // the platform's
	for _, k := range kept {
		s.accounts = append(s.accounts, &account{
			id: k.ID, name: k.Name, country: k.Country, activated: k.Activated, connectedTest: k.ConnectedTest, connectedLive: k.ConnectedLive,
		})
	}
	s.kept = b
	return nil
}

// keepAccounts writes the accounts down if something has changed since it last did.
func (s *sim) keepAccounts() {
	if s.cfg.AccountsFile == "" {
		return
	}
	kept := []keptAccount{}
	for _, a := range s.accounts[1:] {
		kept = append(kept, keptAccount{a.id, a.name, a.country, a.activated, a.connectedTest, a.connectedLive})
	}
	b, err := json.MarshalIndent(kept, "", "  ")
	if err == nil && bytes.Equal(b, s.kept) {
		return
	}
	tmp := s.cfg.AccountsFile + ".tmp"
	if err == nil {
		err = os.WriteFile(tmp, b, 0o600)
	}
	if err == nil {
		err = os.Rename(tmp, s.cfg.AccountsFile)
	}
	if err != nil {
		s.log.Warn("accounts not kept", zap.String("file", s.cfg.AccountsFile), zap.Error(err))
		return
	}
	s.kept = b
}
