// Package httpserve runs the HTTP servers of all services: bound timeouts, a drain at the end, the probes, and what is counted of
// every request.
//
// It knows no route but /livez, /readyz and /metrics. Every service calls it; what a request means is theirs.
package httpserve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// DrainTimeout is how long Serve waits for running requests after its context has ended.
const DrainTimeout = 20 * time.Second

const readyPath = "/readyz"

// readyTimeout bounds one readiness check.
const readyTimeout = 2 * time.Second

// Config says where and how to listen.
type Config struct {
	// Addr is host:port; port 0 takes a free one.
	Addr string
	// Handler answers the requests.
	Handler http.Handler
	// ReadTimeout bounds a whole request's reading. Default 10 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds a request from its headers to the end of its answer, so it must be longer than ReadTimeout, or who
	// sends too slowly is cut off without an answer. 0 means 20 s longer, negative none (for event streams).
	WriteTimeout time.Duration
	// MaxHeaderBytes bounds a request's header. Default 16 KiB (net/http adds 4 KiB of slack).
	MaxHeaderBytes int
	// MaxConns bounds the connections open at one time; further ones wait in the kernel's queue. 0 means no bound.
	MaxConns int
	// Linger is how long a stopping server still answers everybody, so that a balancer notices before it is gone: /readyz says 503,
	// and each connection is closed after its next answer, where its client expects it. A connection that is merely closed takes the
	// request with it that is on its way. Default none.
	Linger time.Duration
}

// Server is a bound listener and its server.
type Server struct {
	listener net.Listener
	http     *http.Server
	linger   time.Duration
	stopping atomic.Bool
}

// Listen binds the address. The port accepts connections when it returns; they are answered once Serve runs.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Addr, err)
	}
	if cfg.MaxConns > 0 {
		l = netutil.LimitListener(l, cfg.MaxConns)
	}
	read := defaulted(cfg.ReadTimeout, 10*time.Second)
	write := defaulted(cfg.WriteTimeout, read+20*time.Second)
	if write < 0 {
		write = 0
	}
	s := &Server{listener: l, linger: cfg.Linger}
	s.http = &http.Server{
		Handler:           s.lingering(cfg.Handler),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       read,
		WriteTimeout:      write,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    defaulted(cfg.MaxHeaderBytes, 16<<10),
	}
	return s, nil
}

// lingering answers by h, and from the moment on in which the server is to stop asks clients to go elsewhere.
func (s *Server) lingering(h http.Handler) http.Handler {
	if s.linger <= 0 {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
			if r.URL.Path == readyPath {
				answer(w, http.StatusServiceUnavailable, "not ready", "stopping")
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

func defaulted[T int | time.Duration](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return v
}

// Addr returns the address that is listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops at once, without draining; for a service whose start failed after Listen.
func (s *Server) Close() error {
	if err := s.http.Close(); err != nil {
		return fmt.Errorf("close server: %w", err)
	}
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close listener: %w", err)
	}
	return nil
}

// Serve answers requests until ctx ends and for Config.Linger, then stops listening and waits up to DrainTimeout for those that run.
func (s *Server) Serve(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	case <-time.After(s.linger):
	}
	// The context has ended; the requests in hand still get their answer.
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), DrainTimeout)
	defer cancel()
	err := s.http.Shutdown(drain)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if stopped := <-served; !errors.Is(stopped, http.ErrServerClosed) {
		err = errors.Join(err, stopped)
	}
	if err != nil {
		return fmt.Errorf("drain %s: %w", s.Addr(), err)
	}
	return nil
}

// Ready reports why a service cannot do its work, or nil.
type Ready func(ctx context.Context) error

// Probes adds /livez (the process answers) and /readyz (it can do its work) to mux.
func Probes(mux *http.ServeMux, ready Ready) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok", "") })
	mux.HandleFunc("GET "+readyPath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := ready(ctx); err != nil {
			answer(w, http.StatusServiceUnavailable, "not ready", err.Error())
			return
		}
		answer(w, http.StatusOK, "ok", "")
	})
}

func answer(w http.ResponseWriter, code int, status, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	body := map[string]string{"status": status}
	if reason != "" {
		body["reason"] = reason
	}
	// A failed write means that the prober has gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(body)
}

// NewRegistry returns a metrics registry that already holds the process's own metrics and quittance_build_info.
func NewRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "quittance_build_info", Help: "Always 1; the commit of this build and the Go it was made with.",
	}, []string{"version", "go"})
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build)
	build.WithLabelValues(Version()).Set(1)
	return reg
}

// Version is the commit of this build, 12 digits, or "dev" where the build recorded none, and the Go it was made with.
func Version() (commit, goVersion string) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev", ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12], info.GoVersion
		}
	}
	return "dev", info.GoVersion
}

// Admin returns the handler of an admin address: the probes, and /metrics of reg with quittance_ready, which is asked for at
// each reading. One registry has one Admin.
func Admin(reg *prometheus.Registry, ready Ready) http.Handler {
	mux := http.NewServeMux()
	Probes(mux, ready)
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "quittance_ready", Help: "1 while the service can do its work, as /readyz says, else 0."})
	reg.MustRegister(gauge)
	metrics := promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		value := 1.0
		if ready(ctx) != nil {
			value = 0
		}
		gauge.Set(value) // once: another reading may be under way
		metrics.ServeHTTP(w, r)
	})
	return mux
}
