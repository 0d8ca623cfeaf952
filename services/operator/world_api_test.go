package operator_test

import (
	"encoding/json"
	"net/http"
)

// listQuotes has pages of two and three quotes in all.
func (w *world) listQuotes(rw http.ResponseWriter, r *http.Request) {
	first := map[string]any{"data": []any{w.document("q_3", true), w.document("q_2", true)}, "next_cursor": "c1"}
	second := map[string]any{"data": []any{w.document("q_1", true)}, "next_cursor": nil}
	switch {
	case r.URL.Query().Get("status") == "draft":
		w.answer(rw, http.StatusOK, map[string]any{"data": []any{}, "next_cursor": nil})
	case r.URL.Query().Get("cursor") == "c1":
		w.answer(rw, http.StatusOK, second)
	default:
		w.answer(rw, http.StatusOK, first)
	}
}

// document is a quote as the API shows it.
func (w *world) document(id string, inList bool) map[string]any {
	b, err := json.Marshal(w.published.Document)
	if err != nil {
		w.t.Error(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		w.t.Error(err)
	}
	p := w.published
	m["id"], m["status"], m["version"], m["revision"], m["url"] = id, w.status, p.Version, p.Revision, "http://quotes.example/q/tok"
	m["flags"], m["created_at"], m["updated_at"] = []string{}, p.PublishedAt, p.PublishedAt
	if inList {
		m["amount"] = p.Amount
	} else {
		m["total"] = map[string]any{"due": p.Amount, "currency": p.Currency}
	}
	return m
}
