package console

import (
	"net/http"

	"quittance.internal/libs/platform/httpserve"
)

// access is who may use a route.
type access int

const (
	// public routes need no session.
	public access = iota
	// viewer routes show things to everybody who may sign in.
	viewer
	// actor routes change something, or open what is masked elsewhere: operators
	// and admins.
	actor
)

// route is one line of the table.
type route struct {
	method, path string
	handle       handler
	access       access
}

func (s *Service) table() []route {
	return []route{
		{http.MethodGet, "/{$}", s.showHome, public},
		{http.MethodGet, "/assets/{hash}/{name}", s.showAsset, public},
		{http.MethodGet, "/signin", s.showSignIn, public},
		{http.MethodPost, "/signin", s.signIn, public},
		{http.MethodPost, "/signout", s.signOut, viewer},

		{http.MethodGet, "/overview", s.showOverview, viewer},
		{http.MethodGet, "/conservation", s.showConservation, viewer},
		{http.MethodGet, "/search", s.search, viewer},
		{http.MethodGet, "/quotes", s.listQuotes, viewer},
		{http.MethodGet, "/quotes/{id}", s.showQuote, viewer},
		{http.MethodGet, "/quotes/{id}/past", s.showPast, viewer},
		{http.MethodGet, "/events", s.listEvents, viewer},
		{http.MethodGet, "/events/{id}", s.showEvent, viewer},
		{http.MethodGet, "/events/{id}/raw", s.planRaw, actor},
		{http.MethodPost, "/events/{id}/raw", s.showRaw, actor},
		{http.MethodGet, "/dead", s.listDead, viewer},
		{http.MethodGet, "/dead/letter/{id}", s.showLetter, viewer},
		{http.MethodGet, "/dead/{verb}", s.planLetters, actor},
		{http.MethodPost, "/dead/{verb}", s.actOnLetters, actor},
		{http.MethodGet, "/parked/{verb}", s.planParked, actor},
		{http.MethodPost, "/parked/{verb}", s.actOnParked, actor},
		{http.MethodGet, "/replays", s.listReplays, viewer},
		{http.MethodGet, "/plan", s.newReplay, actor},
		{http.MethodPost, "/plan", s.planReplay, actor},
		{http.MethodGet, "/replays/{id}", s.showReplay, viewer},
		{http.MethodPost, "/replays/{id}/run", s.runReplay, actor},
		{http.MethodPost, "/replays/{id}/cancel", s.cancelReplay, actor},
		{http.MethodGet, "/mail", s.listMails, viewer},
		{http.MethodGet, "/mail/{id}", s.showMail, viewer},
		{http.MethodGet, "/mail/{id}/preview", s.planPreview, actor},
		{http.MethodPost, "/mail/{id}/preview", s.showPreview, actor},
		{http.MethodGet, "/mail/{id}/resend", s.planResend, actor},
		{http.MethodPost, "/mail/{id}/resend", s.resend, actor},
		{http.MethodGet, "/subscribers", s.listSubscribers, viewer},
		{http.MethodGet, "/journal", s.listJournal, viewer},
		{http.MethodGet, "/journal/verify", s.verifyJournal, viewer},
		{http.MethodGet, "/reconcile", s.showReconcile, viewer},
		{http.MethodPost, "/reconcile", s.compare, actor},
		{http.MethodGet, "/reconcile/repair", s.planRepair, actor},
		{http.MethodPost, "/reconcile/repair", s.repair, actor},
		{http.MethodGet, "/doctor", s.showDoctor, viewer},
		{http.MethodGet, "/tasks/{id}", s.showTask, viewer},
	}
}

// routes is the public handler. Every path answers every method, so that a wrong
// one is told the right ones in Allow.
func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	httpserve.Probes(mux, s.Ready)
	s.pages = http.NewServeMux()
	var routes []httpserve.Route
	for _, r := range s.table() {
		if r.method == http.MethodGet && r.access != public {
			s.pages.Handle(r.path, http.NotFoundHandler())
		}
		routes = append(routes, httpserve.Route{Method: r.method, Path: r.path, Handler: s.serve(r.path, r.access, r.handle)})
	}
	httpserve.Handle(mux, routes, func(path, allow string) http.Handler {
		return s.serve(path, public, func(_ http.ResponseWriter, c *call) error {
			return refuse(http.StatusMethodNotAllowed, "There is no such page", c.Method+" is not possible here; use "+allow+".")
		})
	})
	mux.Handle("/", s.serve("other", public, func(http.ResponseWriter, *call) error { return errNoPage }))
	return mux
}
