package httpserve

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Requests are a service's figures of what it is asked: quittance_http_requests_total and quittance_http_request_seconds.
type Requests struct {
	total *prometheus.CounterVec
	took  *prometheus.HistogramVec
}

// NewRequests registers them with reg, once.
func NewRequests(reg prometheus.Registerer) *Requests {
	r := &Requests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quittance_http_requests_total", Help: "Requests by method, route and status.",
		}, []string{"method", "route", "status"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quittance_http_request_seconds", Help: "Time from a request to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
	}
	reg.MustRegister(r.total, r.took)
	return r
}

// methods bounds the label: a caller may send any word as a method.
var methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

// Count counts one request. route is a pattern of the service's table, never an address: addresses have no end.
func (r *Requests) Count(method, route string, status int, took time.Duration) {
	if !methods[method] {
		method = "other"
	}
	r.total.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	r.took.WithLabelValues(method, route).Observe(took.Seconds())
}

// Answer remembers the status that was written.
type Answer struct {
	http.ResponseWriter
	// Status is 0 while nothing was written.
	Status int
}

// WriteHeader writes the status.
func (a *Answer) WriteHeader(status int) {
	if a.Status == 0 {
		a.Status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the body.
func (a *Answer) Write(b []byte) (int, error) {
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *Answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Guarded is what work returns, or its panic as an error with the stack, so that it is logged and answered like any other.
func Guarded(work func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return work()
}
