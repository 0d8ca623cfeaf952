// Package webui is what the pages of all services share: the look (base.css), the
// files that browsers get, how pages are put together from their parts, and the
// policy that nothing else is loaded.
//
// It has no page of its own and knows no route. quotes and console use it.
package webui

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// look is the common style and the icon.
//
//go:embed look
var look embed.FS

// asset is a file that pages refer to. Its address holds the hash of its content,
// so that whoever has it may keep it for ever.
type asset struct {
	path, mediaType string
	content         []byte
}

// Assets are the files that browsers get, by name. Scripts and styles come from
// here only: the pages hold none.
type Assets map[string]asset

var mediaTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// MustAssets are the styles, scripts and pictures of a folder of embedded files,
// and base.css and icon.svg. It panics where the folder cannot be read.
func MustAssets(files fs.FS, folder string) Assets {
	all := Assets{}
	all.mustAdd(look, "look")
	all.mustAdd(files, folder)
	return all
}

func (a Assets) mustAdd(files fs.FS, folder string) {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		panic(err)
	}
	for _, f := range entries {
		mediaType, ok := mediaTypes[path.Ext(f.Name())]
		if !ok {
			continue
		}
		content, err := fs.ReadFile(files, folder+"/"+f.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		a[f.Name()] = asset{"/assets/" + hex.EncodeToString(sum[:8]) + "/" + f.Name(), mediaType, content}
	}
}

// Path is the address of a file; a page that names one that is not there cannot
// be rendered.
func (a Assets) Path(name string) (string, error) {
	f, ok := a[name]
	if !ok {
		return "", fmt.Errorf("there is no asset %s", name)
	}
	return f.path, nil
}

// Show answers with a file, and is false, without an answer, where there is none
// of that name. While two versions run side by side a page of one may ask the
// other: it gets the file as it is here, and must not keep it.
func (a Assets) Show(w http.ResponseWriter, r *http.Request, name string) bool {
	f, ok := a[name]
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if r.URL.Path != f.path {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(http.StatusOK)
	// A failed write means that the reader has gone; there is nobody left to tell.
	_, _ = w.Write(f.content)
	return true
}

// Policy is the Content-Security-Policy of a page: everything comes from the
// service itself, nothing stands in the page, nobody may frame it. Leads are the
// other origins to which a form of the page may redirect.
func Policy(leads ...string) string {
	return "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action " +
		strings.Join(append([]string{"'self'"}, leads...), " ") + "; base-uri 'none'; frame-ancestors 'none'"
}

// Headers sets the headers of a page: the policy, that nobody keeps or indexes it,
// and that no other site hears of its address. Forms of our own still say where
// they come from.
func Headers(h http.Header, leads ...string) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", Policy(leads...))
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}
