package quotes

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
)

// asset is a file that pages refer to. Its address holds the hash of its content,
// so that whoever has it may keep it for ever.
type asset struct {
	path, mediaType string
	content         []byte
}

// assets are the files of pages/ that browsers get, by name. Scripts and styles
// come from here only: the pages hold none.
var assets = mustReadAssets()

var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func mustReadAssets() map[string]asset {
	files, err := pagesFS.ReadDir("pages")
	if err != nil {
		panic(err)
	}
	all := map[string]asset{}
	for _, f := range files {
		mediaType, ok := assetTypes[path.Ext(f.Name())]
		if !ok {
			continue
		}
		content, err := pagesFS.ReadFile("pages/" + f.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(content)
		all[f.Name()] = asset{"/assets/" + hex.EncodeToString(sum[:8]) + "/" + f.Name(), mediaType, content}
	}
	return all
}

// assetPath is the address of a file; a page that names one that is not there
// cannot be rendered.
func assetPath(name string) (string, error) {
	a, ok := assets[name]
	if !ok {
		return "", refuse(http.StatusInternalServerError, "internal", "There is no asset "+name+".")
	}
	return a.path, nil
}

// showAsset answers with a file. While two versions run side by side a page of
// one may ask the other: it gets the file as it is here, and must not keep it.
func (s *Service) showAsset(w http.ResponseWriter, c *call) error {
	a, ok := assets[c.PathValue("name")]
	if !ok {
		return refuse(http.StatusNotFound, "not-found", "There is nothing at this address.")
	}
	h := w.Header()
	h.Set("Content-Type", a.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if c.URL.Path != a.path {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(http.StatusOK)
	// A failed write means that the reader has gone; there is nobody left to tell.
	_, _ = w.Write(a.content)
	return nil
}
