package quotes

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// The languages of the pages. English is the canonical one (R1); the API speaks
// nothing else.
const (
	langEnglish = "en"
	langPolish  = "pl"
)

// langCookie remembers the language that a reader chose, for a year.
const (
	langCookie    = "lang"
	langCookieAge = 365 * 24 * 60 * 60
)

// text is a text of the pages: its English wording, which is also the key of its
// translations. Only what stands in the source as a text can be translated; what
// people wrote is shown as they wrote it.
type text string

// wording is a text in another language. Few and Many are for a text with a
// number, where Polish knows more than one plural: 2 miesiące, 5 miesięcy.
type wording struct{ One, Few, Many string }

// UnmarshalJSON reads "…" or {"few": "…", "many": "…"}.
func (w *wording) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &w.One); err == nil {
		return nil
	}
	var forms struct{ Few, Many string }
	if err := json.Unmarshal(b, &forms); err != nil {
		return fmt.Errorf("wording %s: %w", b, err)
	}
	w.Few, w.Many = forms.Few, forms.Many
	return nil
}

// polish holds every text of the pages in Polish.
var polish = mustReadWordings(pagesFS, "pages/pl")

func mustReadWordings(fs embed.FS, dir string) map[text]wording {
	files, err := fs.ReadDir(dir)
	if err != nil {
		panic(err)
	}
	all := map[text]wording{}
	for _, f := range files {
		b, err := fs.ReadFile(path.Join(dir, f.Name()))
		if err == nil {
			err = json.Unmarshal(b, &all) // adds to what is there
		}
		if err != nil {
			panic(fmt.Errorf("%s: %w", f.Name(), err))
		}
	}
	return all
}

// translate writes a text in a language, with its arguments put in as fmt does.
// A text without a translation stays English; a test finds it first.
func translate(lang string, key text, args ...any) string {
	pattern := string(key)
	if w, ok := polish[key]; ok && lang == langPolish {
		if pattern = w.One; pattern == "" {
			pattern = w.plural(args)
		}
	}
	if len(args) == 0 {
		return pattern
	}
	return fmt.Sprintf(pattern, args...)
}

// plural takes the form for the first number among the arguments: 2, 3, 4, 22 …
// take Few, the others Many.
func (w wording) plural(args []any) string {
	for _, a := range args {
		if n, ok := a.(int64); ok {
			if last := n % 10; last >= 2 && last <= 4 && (n%100 < 12 || n%100 > 14) {
				return w.Few
			}
			break
		}
	}
	return w.Many
}

// language is the one that the caller is to read: what he asks for with ?lang=,
// else what he chose before, else what his browser prefers, else English.
func language(r *http.Request) string {
	if lang := r.URL.Query().Get("lang"); known(lang) {
		return lang
	}
	if cookie, err := r.Cookie(langCookie); err == nil && known(cookie.Value) {
		return cookie.Value
	}
	return preferred(r.Header.Get("Accept-Language"))
}

func known(lang string) bool { return lang == langEnglish || lang == langPolish }

// preferred reads Accept-Language: the known language of the highest weight, the
// first of several.
func preferred(header string) string {
	best, weight := langEnglish, 0.0
	for entry := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(entry, ";")
		q := 1.0
		if value, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			parsed, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			q = parsed
		}
		lang, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if known(lang) && q > weight {
			best, weight = lang, q
		}
	}
	return best
}

// rememberLanguage keeps the choice that the caller made with ?lang=.
func (s *Service) rememberLanguage(w http.ResponseWriter, r *http.Request) {
	lang := r.URL.Query().Get("lang")
	if !known(lang) {
		return
	}
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // G124: Secure where the public address is; it guards no secret
		Name: langCookie, Value: lang, Path: "/", MaxAge: langCookieAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(s.cfg.PublicURL, "https://"),
	})
}

// inLanguage is the address of the same page in another language; relative, so
// that it says nothing of where the page is.
func inLanguage(u *url.URL, lang string) string {
	q := u.Query()
	q.Set("lang", lang)
	return "?" + q.Encode()
}

// polishMonths are the months as a Polish date writes them.
var polishMonths = [...]string{"sty", "lut", "mar", "kwi", "maj", "cze", "lip", "sie", "wrz", "paź", "lis", "gru"}

// date writes a day as the language does; in English as the card on the deal
// record does (event.CardText).
func date(lang string, at time.Time) string {
	if lang == langPolish {
		return fmt.Sprintf("%d %s %d", at.Day(), polishMonths[at.Month()-1], at.Year())
	}
	return at.Format("Jan 2, 2006")
}
