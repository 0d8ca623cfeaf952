package signin

import (
	"net/url"
	"path"
	"strings"
)

// OwnPath is the address itself if it is a path on this host, written plainly, that ours accepts; else home. A link must not
// lead to another site by way of the sign-in. ours sees a clean path that begins with a slash.
func OwnPath(address, home string, ours func(path string) bool) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || strings.ContainsAny(address, "\\\t\r\n") ||
		path.Clean(u.Path) != u.Path || !strings.HasPrefix(u.Path, "/") || !ours(u.Path) {
		return home
	}
	return u.RequestURI()
}
