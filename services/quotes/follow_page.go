package quotes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"quittance.internal/libs/domain/event"
)

const (
	// streamLife is how long a stream lasts; the browser then opens another one,
	// perhaps at another instance.
	streamLife = 15 * time.Minute
	// streamWrite bounds one write: who reads nothing for that long has gone.
	streamWrite = 10 * time.Second
	// streamRetry is what a browser waits before it comes back, in milliseconds.
	streamRetry = 3000
	// gone is the digest of a page that is not offered any more.
	gone = "gone"
)

// lags are the waits after a wake-up before the page is looked at again: payments
// writes Redis a moment before or after the log tells of it.
var lags = []time.Duration{200 * time.Millisecond, 800 * time.Millisecond, 3 * time.Second}

// followPage streams the changes of a page as server-sent events. An event says
// that the page is not what it was, and its id says what it is: a digest, which
// the browser sends back when it connects anew (Last-Event-ID; the first time
// ?seen=). So nothing is missed in between, whatever was lost, and what was seen
// is not told again. Between events there are comments, which keep proxies from
// closing the line; the page is looked at with each of them.
func (s *Service) followPage(w http.ResponseWriter, c *call) error {
	_, r, err := s.offeredTo(c)
	if err != nil {
		return err
	}
	return s.follow(w, c, r.QuoteID, func(ctx context.Context) (string, error) { return s.look(ctx, r) })
}

// follow streams the changes of what look is the digest of, as followPage says.
func (s *Service) follow(w http.ResponseWriter, c *call, id string, look func(context.Context) (string, error)) error {
	f, leave, err := s.live.follow(id, c.client)
	if err != nil {
		return err
	}
	defer leave()
	out, err := openStream(w)
	if err != nil {
		return err
	}
	seen := c.Header.Get("Last-Event-ID")
	if seen == "" {
		seen = c.URL.Query().Get("seen")
	}
	life := time.NewTimer(streamLife)
	defer life.Stop()
	if c.Method == http.MethodHead {
		return nil
	}
	next := lags[2:] // an event just before the stream may not be in Redis yet
	for {
		// A look that was in vain is not told: the next one is near.
		state, err := look(c.Context())
		if err != nil {
			s.log.Debug("page not looked at", zap.String("quote_id", id), zap.Error(err))
			state = seen
		}
		if err := out.tell(seen, state); err != nil {
			return nil // the reader has gone; that is how streams end
		}
		seen = state
		wait := s.cfg.StreamBeat
		if len(next) > 0 {
			wait, next = min(next[0], wait), next[1:]
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-s.live.ended:
			return nil
		case <-life.C:
			return nil
		case <-f.woken:
			next = lags
		case <-time.After(wait):
		}
	}
}

// look is the digest of what the page of a revision would show now. Whose page it
// is was found before: an empty Redis takes no page away.
func (s *Service) look(ctx context.Context, r event.Published) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	a, r, err := s.offeredStill(ctx, r.Seller, r.QuoteID, r.Revision, r.URLToken)
	if errors.Is(err, errPageGone) {
		return gone, nil
	}
	if err != nil {
		return "", err
	}
	at, err := s.situation(ctx, a, r)
	if err != nil {
		return "", err
	}
	return at.digest(), nil
}

// eventStream writes server-sent events.
type eventStream struct {
	w    http.ResponseWriter
	line *http.ResponseController
}

// openStream begins the answer. The server's limits for a request do not hold for
// a stream: each write has one of its own.
func openStream(w http.ResponseWriter) (*eventStream, error) {
	out := &eventStream{w: w, line: http.NewResponseController(w)}
	if err := out.line.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no") // nginx and its kin pass each event on at once
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	w.WriteHeader(http.StatusOK)
	return out, out.write("retry: %d\n\n", streamRetry)
}

// tell writes an event where the state is not what was seen, else a comment.
func (out *eventStream) tell(seen, state string) error {
	if state == seen {
		return out.write(":\n\n")
	}
	return out.write("event: change\nid: %s\ndata: %s\n\n", state, state)
}

func (out *eventStream) write(format string, args ...any) error {
	//nolint:forbidigo // a deadline of the connection is of the machine's own clock
	if err := out.line.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if _, err := fmt.Fprintf(out.w, format, args...); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return out.line.Flush()
}
