package sandbox_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
	"github.com/stripe/stripe-mock/embedded"
	"github.com/stripe/stripe-mock/server"

	"quittance.internal/services/sandbox"
)

// twin sends each request to the sandbox and to Stripe's own mock, and keeps what the mock says against it. The mock checks
// how a request is spelt: parameters, enumerations and paths of Stripe's current specification.
type twin struct {
	mock     string
	mu       sync.Mutex
	requests int
	against  []string
	asked    map[string]int // how often, by method and path without ids
}

// objectID is an id in a path.
var objectID = regexp.MustCompile(`/(cs_|pi_|ch_|cus_|quittance_|acct_)[A-Za-z0-9_]+`)

func (w *twin) RoundTrip(q *http.Request) (*http.Response, error) {
	if strings.HasPrefix(q.URL.Path, "/v1/") {
		copied := q.Clone(q.Context())
		copied.URL.Host = w.mock
		copied.Header.Del("Stripe-Account") // the mock knows no accounts
		if q.GetBody != nil {
			b, err := q.GetBody()
			if err != nil {
				return nil, err
			}
			copied.Body = b
		}
		res, err := http.DefaultTransport.RoundTrip(copied)
		if err != nil {
			return nil, err
		}
		said := make([]byte, 500)
		n, _ := res.Body.Read(said)
		_ = res.Body.Close()
		w.mu.Lock()
		w.requests++
		w.asked[q.Method+" "+objectID.ReplaceAllString(q.URL.Path, "/{id}")]++
		if res.StatusCode != http.StatusOK {
			w.against = append(w.against, q.Method+" "+q.URL.Path+": "+string(said[:n]))
		}
		w.mu.Unlock()
	}
	return http.DefaultTransport.RoundTrip(q)
}

// mocked is a twin of a mock of its own.
func mocked(t *testing.T) *twin {
	t.Helper()
	document, err := server.LoadSpec(embedded.OpenAPISpec, "")
	if err != nil {
		t.Fatal(err)
	}
	fixtures, err := server.LoadFixtures(embedded.OpenAPIFixtures, "")
	if err != nil {
		t.Fatal(err)
	}
	stub, err := server.NewStubServer(fixtures, document, false, false)
	if err != nil {
		t.Fatal(err)
	}
	mock := httptest.NewServer(http.HandlerFunc(stub.HandleRequest)) // loopback alone, no TLS
	t.Cleanup(mock.Close)
	return &twin{mock: strings.TrimPrefix(mock.URL, "http://"), asked: map[string]int{}}
}

// Every call that Quittance makes is spelt as Stripe's specification has it, and the sandbox takes the same.
func TestStripesOwnMockAcceptsOurRequests(t *testing.T) {
	both := mocked(t)
	w := start(t, sandbox.Config{TestKey: "sk_test_123456789"})
	w.API = apiWith(w.url, "sk_test_123456789", &http.Client{Transport: both})
	for name, call := range ourCalls(func(session string) *stripe.CheckoutSession {
		w.act(t, session, "pay")
		return w.session(t, session)
	}) {
		if err := call(w.API); err != nil {
			t.Errorf("%s: the sandbox says %v", name, err)
		}
	}
	if both.requests < 20 || len(both.against) > 0 {
		t.Errorf("of %d requests the mock refuses:\n%s", both.requests, strings.Join(both.against, "\n"))
	}
	// The mock does refuse what is misspelt.
	p := oneTime()
	p.AddExtra("colour", "red")
	if _, err := w.CheckoutSessions.New(p); err == nil || len(both.against) != 1 {
		t.Errorf("misspelt parameter: sandbox %v, mock %v", err, both.against)
	}
}

// paidThenRead reads and refunds what a paid subscription consists of.
func paidThenRead(c *client.API, s *stripe.CheckoutSession) error {
	if _, err := c.Subscriptions.Get(s.Subscription.ID, nil); err != nil {
		return err
	}
	invoice, err := c.Invoices.Get(s.Invoice.ID, nil)
	if err != nil {
		return err
	}
	if _, err := c.PaymentIntents.Get(invoice.PaymentIntent.ID, nil); err != nil {
		return err
	}
	if _, err := c.Charges.Get(invoice.Charge.ID, nil); err != nil {
		return err
	}
	if _, err := c.Refunds.New(&stripe.RefundParams{PaymentIntent: &invoice.PaymentIntent.ID, Amount: stripe.Int64(100), Reason: stripe.String("requested_by_customer")}); err != nil {
		return err
	}
	_, err = c.Subscriptions.Cancel(s.Subscription.ID, nil)
	return err
}

// ourCalls are the calls of quotes and reconcile. pay pays a session and reads it.
func ourCalls(pay func(session string) *stripe.CheckoutSession) map[string]func(c *client.API) error {
	return map[string]func(c *client.API) error{
		"payment": payCalls,
		"subscription": func(c *client.API) error {
			s, err := c.CheckoutSessions.New(recurring())
			if err != nil {
				return err
			}
			return paidThenRead(c, pay(s.ID))
		},
		"customers": customerCalls,
		"lists":     listCalls,
		"accounts": func(c *client.API) error {
			_, err := c.Accounts.Get()
			return err
		},
		"endpoints": endpointCalls,
	}
}

func payCalls(c *client.API) error {
	coupon, err := c.Coupons.New(&stripe.CouponParams{
		AmountOff: stripe.Int64(500), Currency: stripe.String("pln"), Duration: stripe.String("once"), Metadata: metadata, Name: stripe.String("Discount"),
	})
	if err != nil {
		return err
	}
	p := oneTime()
	p.ExpiresAt, p.ClientReferenceID = in(3600e9), stripe.String("q_1042")
	p.Discounts = []*stripe.CheckoutSessionDiscountParams{{Coupon: &coupon.ID}}
	p.CustomerCreation = stripe.String("if_required")
	p.PaymentMethodOptions = &stripe.CheckoutSessionPaymentMethodOptionsParams{Card: &stripe.CheckoutSessionPaymentMethodOptionsCardParams{RequestThreeDSecure: stripe.String("automatic")}}
	p.InvoiceCreation = &stripe.CheckoutSessionInvoiceCreationParams{Enabled: stripe.Bool(false), InvoiceData: &stripe.CheckoutSessionInvoiceCreationInvoiceDataParams{Metadata: metadata}}
	s, err := c.CheckoutSessions.New(p)
	if err != nil {
		return err
	}
	if _, err := c.CheckoutSessions.Get(s.ID, nil); err != nil {
		return err
	}
	lines := c.CheckoutSessions.ListLineItems(&stripe.CheckoutSessionListLineItemsParams{Session: &s.ID})
	lines.Next()
	if lines.Err() != nil {
		return lines.Err()
	}
	if _, err := c.Coupons.Get(coupon.ID, nil); err != nil {
		return err
	}
	_, err = c.CheckoutSessions.Expire(s.ID, nil)
	return err
}

func customerCalls(c *client.API) error {
	i := c.Customers.List(&stripe.CustomerListParams{Email: stripe.String("anna@customer.example")})
	i.Next()
	if i.Err() != nil {
		return i.Err()
	}
	o, err := c.Customers.New(&stripe.CustomerParams{Email: stripe.String("anna@customer.example"), Name: stripe.String("Solar GmbH"), Metadata: metadata})
	if err != nil {
		return err
	}
	if _, err := c.Customers.Update(o.ID, &stripe.CustomerParams{Name: stripe.String("Solar AG")}); err != nil {
		return err
	}
	if _, err := c.Customers.Get(o.ID, nil); err != nil {
		return err
	}
	f := c.Customers.Search(&stripe.CustomerSearchParams{SearchParams: stripe.SearchParams{Query: "email:'anna@customer.example'"}})
	f.Next()
	return f.Err()
}

func listCalls(c *client.API) error {
	p := &stripe.EventListParams{DeliverySuccess: stripe.Bool(false), Types: []*string{stripe.String("charge.succeeded")}, CreatedRange: &stripe.RangeQueryParams{GreaterThan: 1}}
	p.Limit = stripe.Int64(100)
	e := c.Events.List(p)
	e.Next()
	s := c.CheckoutSessions.List(&stripe.CheckoutSessionListParams{})
	s.Next()
	d := c.Disputes.List(&stripe.DisputeListParams{})
	d.Next()
	r := c.Refunds.List(&stripe.RefundListParams{})
	r.Next()
	for _, err := range []error{e.Err(), s.Err(), d.Err(), r.Err()} {
		if err != nil {
			return err
		}
	}
	return nil
}

func endpointCalls(c *client.API) error {
	p, err := c.WebhookEndpoints.New(&stripe.WebhookEndpointParams{
		URL: stripe.String("http://127.0.0.1:9/hook"), Connect: stripe.Bool(true), APIVersion: stripe.String(sandbox.Version20231016),
		EnabledEvents: []*string{stripe.String("checkout.session.completed"), stripe.String("refund.created")},
	})
	if err != nil {
		return err
	}
	if _, err := c.WebhookEndpoints.Update(p.ID, &stripe.WebhookEndpointParams{Disabled: stripe.Bool(true)}); err != nil {
		return err
	}
	_, err = c.WebhookEndpoints.Del(p.ID, nil)
	return err
}
