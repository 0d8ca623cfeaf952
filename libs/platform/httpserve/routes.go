package httpserve

import (
	"net/http"
	"slices"
	"strings"
)

// Route is one method of one path; Path is a pattern of http.ServeMux without a method.
type Route struct {
	Method, Path string
	Handler      http.Handler
}

// Handle adds routes to mux, so that every path of them answers every method: another one gets the handler that refuse makes
// of the path and of the methods that there are ("GET, HEAD, POST"), with these in the header Allow.
func Handle(mux *http.ServeMux, routes []Route, refuse func(path, allow string) http.Handler) {
	allowed := map[string][]string{}
	for _, r := range routes {
		mux.Handle(r.Method+" "+r.Path, r.Handler)
		allowed[r.Path] = append(allowed[r.Path], r.Method)
	}
	for path, methods := range allowed {
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead)
		}
		slices.Sort(methods)
		allow := strings.Join(methods, ", ")
		refusal := refuse(path, allow)
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allow)
			refusal.ServeHTTP(w, r)
		})
	}
}
