package webui_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"quittance.internal/libs/platform/webui"
)

func TestAFileMayBeKeptForEverUnderItsOwnAddressOnly(t *testing.T) {
	a := webui.MustAssets(fstest.MapFS{"pages/x.js": {Data: []byte("1")}, "pages/x.html": {Data: []byte("no asset")}}, "pages")
	address, err := a.Path("x.js")
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{address: "public, max-age=31536000, immutable", "/assets/0000/x.js": "no-store"} {
		w := httptest.NewRecorder()
		if !a.Show(w, httptest.NewRequest(http.MethodGet, asked, nil), "x.js") || w.Header().Get("Cache-Control") != want {
			t.Errorf("Show(%s): Cache-Control %q, want %q", asked, w.Header().Get("Cache-Control"), want)
		}
	}
	for _, name := range []string{"x.html", "y.js", ""} {
		if a.Show(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), name) {
			t.Errorf("Show(%q) answers", name)
		}
	}
	if _, err := a.Path("base.css"); err != nil {
		t.Errorf("the common style: %v", err)
	}
}

func TestThePolicyLetsNothingOfAPageRunOrLoadFromElsewhere(t *testing.T) {
	got := webui.Policy("https://checkout.example")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "form-action 'self' https://checkout.example;", "frame-ancestors 'none'"} {
		if !strings.Contains(got, want) {
			t.Errorf("Policy() = %q lacks %q", got, want)
		}
	}
}
