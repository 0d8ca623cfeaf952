package quotes

import (
	"io"
	"net/http"
	"net/netip"

	"quittance.internal/libs/platform/redisquote"
)

// Routes are the routes of the table, each as "GET /v1/quotes/{id}".
func (s *Service) Routes() (list []string) {
	for _, r := range s.table() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}

// DefaultRandom is where ids and page tokens come from unless a test says so.
func DefaultRandom() io.Reader { return Config{}.withDefaults().Random }

// EncodeCursor and DecodeCursor are those of the list.
func EncodeCursor(c redisquote.Cursor) string { return *encodeCursor(c) }

// DecodeCursor is EncodeCursor's inverse.
func DecodeCursor(s string) (redisquote.Cursor, bool) { return decodeCursor(s) }

// ClientOf is who a request comes from, behind these proxies.
func ClientOf(r *http.Request, proxies []netip.Prefix) netip.Prefix {
	return (&Service{cfg: Config{TrustedProxies: proxies}}).clientOf(r)
}
