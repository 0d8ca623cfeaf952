// Package door enters events of Stripe through ingress: signed as Stripe signs them and labelled with where they come from,
// so that they take the very path of a webhook.
//
// It makes no events and tries nothing twice; who calls decides what is repeated. The quotes service enters what it fetches
// for a customer who comes back, reconcile what never came.
package door

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"quittance.internal/libs/platform/env"
)

// Ingress's own names, which it has in services/ingress: the arrows keep them apart.
const (
	webhookPath  = "/webhooks/stripe"
	sourceHeader = "Quittance-Source"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// The answers of ingress to an event that it has.
const (
	Stored         = "stored"          // new
	Duplicate      = "duplicate"       // there already
	OtherRendering = "other_rendering" // there already, in another form
	Conflict       = "conflict"        // the id is taken by another event; stored aside
	Unreadable     = "unreadable"      // stored aside
)

// ErrUnavailable means that ingress did not take the event and may take it later.
var ErrUnavailable = errors.New("ingress unavailable")

// Door is ingress, as one sender of ours knows it. It is safe for concurrent use.
type Door struct {
	// URL is ingress's, without a slash at the end.
	URL string
	// Secret signs; see SecretFor.
	Secret env.Secret
	// Source is one of event's Source constants.
	Source string
	Now    func() time.Time
	HTTP   *http.Client
}

// SecretFor picks from name=whsec_…,name2=whsec_… the secret of that name, so that the log tells who signed, or else the
// first one. It is false for a list that has none.
func SecretFor(list env.Secret, name string) (env.Secret, bool) {
	var first, named string
	for entry := range strings.SplitSeq(list.Reveal(), ",") {
		who, secret, _ := strings.Cut(strings.TrimSpace(entry), "=")
		if first == "" {
			first = secret
		}
		if who == name {
			named = secret
		}
	}
	if named == "" {
		named = first
	}
	return env.NewSecret(named), named != ""
}

// Enter posts one event and returns ingress's answer. The error is ErrUnavailable where another attempt may do better; any
// other says that ingress refuses the event, or the signature.
func (d Door) Enter(ctx context.Context, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL+webhookPath, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("enter event: %w", err)
	}
	now := d.Now()
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set(sourceHeader, d.Source)
	req.Header.Set("Stripe-Signature", "t="+strconv.FormatInt(now.Unix(), 10)+",v1="+
		hex.EncodeToString(webhook.ComputeSignature(now, body, d.Secret.Reveal())))
	res, err := d.HTTP.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return "", fmt.Errorf("enter event at %s: %w: %w", d.URL, ErrUnavailable, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("enter event at %s: %w: %w", d.URL, ErrUnavailable, err)
	}
	var answer struct{ Code, Detail string }
	_ = json.Unmarshal(text, &answer) // the status tells the rest
	switch {
	case res.StatusCode == http.StatusOK:
		return answer.Code, nil
	case res.StatusCode >= http.StatusInternalServerError, res.StatusCode == http.StatusTooManyRequests:
		return "", fmt.Errorf("enter event at %s: %w: it answers %s %s", d.URL, ErrUnavailable, res.Status, answer.Code)
	}
	return "", fmt.Errorf("enter event at %s: it answers %s %s %s", d.URL, res.Status, answer.Code, answer.Detail)
}
