package bench_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"quittance.internal/services/ingress"
)

// stored is ingress's answer to an event that it has stored; the baselines give the same.
const stored = `{"code":"stored"}` + "\n"

// runBareHTTP is the limit of any ingress on net/http: it reads the body into pooled memory, as ours does, and answers 200.
func runBareHTTP(ctx context.Context) error {
	return serve(ctx, func(*http.Request, []byte) bool { return true })
}

// runSignedHTTP is the limit of any ingress that checks signatures: the same with ours.
func runSignedHTTP(ctx context.Context) error {
	genuine, err := ourCheck()
	if err != nil {
		return err
	}
	return serve(ctx, genuine)
}

// ourCheck is ingress's check of a signature.
func ourCheck() (func(*http.Request, []byte) bool, error) {
	secrets, err := ingress.ParseSecrets(secretSetting)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	v, err := ingress.NewVerifier(secrets, time.Now)
	if err != nil {
		return nil, fmt.Errorf("read secrets: %w", err)
	}
	return func(r *http.Request, body []byte) bool {
		return v.Verify(r.Header.Get("Stripe-Signature"), body).Refusal == ""
	}, nil
}

// serve answers requests that genuine accepts with 200, on a server without timeouts: each would cost it a little.
func serve(ctx context.Context, genuine func(*http.Request, []byte) bool) error {
	const firstBuffer = 8 << 10 // as in ingress
	bodies := sync.Pool{New: func() any { b := make([]byte, firstBuffer); return &b }}
	handler := func(w http.ResponseWriter, r *http.Request) {
		buffer, _ := bodies.Get().(*[]byte) // the pool holds nothing else
		defer bodies.Put(buffer)
		n, err := io.ReadFull(r.Body, *buffer)
		status := http.StatusBadRequest
		if errors.Is(err, io.ErrUnexpectedEOF) && genuine(r, (*buffer)[:n]) {
			status = http.StatusOK
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, stored)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: http.HandlerFunc(handler)}
	go func() {
		<-ctx.Done()
		_ = s.Close()
	}()
	fmt.Fprintln(os.Stdout, l.Addr())
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
