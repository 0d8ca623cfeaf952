package quotes

import (
	"net/http"

	"quittance.internal/libs/platform/httpserve"
)

// route is one line of the API's table.
type route struct {
	method, path string
	handle       handler
	access       access
}

// access is who may use a route.
type access int

const (
	public  access = iota // no token: what a customer's browser asks for
	costly                // no token, and nothing to be asked for often
	stream                // no token, and the answer lasts
	reader                // any token
	writer                // a token that may give commands
	visitor               // a page: whoever is signed in
	author                // a page: a session of a token that may give commands
	watcher               // visitor, and the answer lasts
)

// table is every route of the service beside the probes.
func (s *Service) table() []route {
	return append([]route{
		{http.MethodPost, "/v1/quotes", s.createQuote, writer},
		{http.MethodGet, "/v1/quotes", s.listQuotes, reader},
		{http.MethodGet, "/v1/quotes/{id}", s.showQuote, reader},
		{http.MethodPatch, "/v1/quotes/{id}", s.editQuote, writer},
		{http.MethodPost, "/v1/quotes/{id}/publish", s.publishQuote, writer},
		{http.MethodPost, "/v1/quotes/{id}/recall", s.recallQuote, writer},
		{http.MethodGet, "/v1/quotes/{id}/card", s.showCard, reader},
		{http.MethodGet, "/v1/policy", s.showPolicy, reader},
		{http.MethodGet, "/v1/seller", s.showOwnSeller, reader},
		{http.MethodGet, "/v1/sellers/{seller}", s.showSeller, reader},
		{http.MethodGet, "/v1/sellers/{seller}/history", s.showHistory, reader},
		{http.MethodPut, "/v1/sellers/{seller}/plan", s.setPlan, writer},
		{http.MethodPut, "/v1/sellers/{seller}/seats/{user}", s.setSeat, writer},
		{http.MethodGet, "/assets/{hash}/{name}", s.showAsset, public},
		{http.MethodGet, "/q/{token}", s.showPage, public},
		{http.MethodPost, "/q/{token}/checkout", s.checkOut, costly},
		{http.MethodGet, "/q/{token}/events", s.followPage, stream},
	}, s.sellerTable()...)
}

// sellerTable is every route of the seller's pages. A page that a form is sent to
// can also be asked for, so that a sign-in in between leads back to it.
func (s *Service) sellerTable() []route {
	return []route{
		{http.MethodGet, "/{$}", s.showHome, public},
		{http.MethodGet, "/signin", s.showSignIn, public},
		{http.MethodPost, "/signin", s.signIn, costly},
		{http.MethodPost, "/signout", s.signOut, visitor},
		{http.MethodGet, "/seller/quotes", s.showQuotes, visitor},
		{http.MethodGet, appsPath, s.showApps, visitor},
		{http.MethodPost, connectPath, s.connectStripe, author},
		{http.MethodGet, connectPath, s.toApps, visitor},
		{http.MethodGet, callbackPath, s.stripeCallback, author},
		{http.MethodPost, disconnectPath, s.disconnectStripe, author},
		{http.MethodGet, disconnectPath, s.toApps, visitor},
		{http.MethodGet, "/seller/deals/{deal}", s.showDeal, visitor},
		{http.MethodGet, newQuotePath, s.showNew, author},
		{http.MethodPost, newQuotePath, s.createFromPage, author},
		{http.MethodGet, "/seller/quotes/{id}", s.showRecord, visitor},
		{http.MethodGet, "/seller/quotes/{id}/events", s.followRecord, watcher},
		{http.MethodGet, "/seller/quotes/{id}/details", s.showDetails, author},
		{http.MethodPost, "/seller/quotes/{id}/details", s.saveDetails, author},
		{http.MethodGet, "/seller/quotes/{id}/lines", s.showLines, author},
		{http.MethodPost, "/seller/quotes/{id}/lines", s.saveLines, author},
		{http.MethodGet, "/seller/quotes/{id}/payment", s.showPayment, author},
		{http.MethodPost, "/seller/quotes/{id}/payment", s.savePayment, author},
		{http.MethodGet, "/seller/quotes/{id}/review", s.showReview, author},
		{http.MethodPost, "/seller/quotes/{id}/review", s.publishFromPage, author},
		{http.MethodGet, "/seller/quotes/{id}/recall", s.showRecall, author},
		{http.MethodPost, "/seller/quotes/{id}/recall", s.recallFromPage, author},
	}
}

// routes is the public handler. Every path answers every method, so that a wrong
// one gets a problem document with the right ones in Allow.
func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	httpserve.Probes(mux, s.Ready)
	var routes []httpserve.Route
	for _, r := range s.table() {
		routes = append(routes, httpserve.Route{Method: r.method, Path: r.path, Handler: s.serve(r.path, r.access, r.handle)})
	}
	httpserve.Handle(mux, routes, func(path, allow string) http.Handler {
		return s.serve(path, public, func(_ http.ResponseWriter, c *call) error {
			return refuse(http.StatusMethodNotAllowed, "method-not-allowed", c.Method+" is not possible here; use "+allow+".")
		})
	})
	mux.Handle("/", s.serve("other", public, func(http.ResponseWriter, *call) error {
		return refuse(http.StatusNotFound, "not-found", "There is nothing at this address.")
	}))
	return mux
}
