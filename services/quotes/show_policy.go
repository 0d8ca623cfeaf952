package quotes

import "net/http"

// showPolicy answers with the active policy, its date first: what a quote is
// judged by when it is published and when it is paid.
func (s *Service) showPolicy(w http.ResponseWriter, _ *call) error {
	writeJSON(w, http.StatusOK, mediaJSON, s.cfg.Policy)
	return nil
}
