package quotes

import "io"

// Routes are the routes of the table, each as "GET /v1/quotes/{id}".
func (s *Service) Routes() (list []string) {
	for _, r := range s.table() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}

// DefaultRandom is where ids and page tokens come from unless a test says so.
func DefaultRandom() io.Reader { return Config{}.withDefaults().Random }
