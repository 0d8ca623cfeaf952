package stripegate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"strconv"
	"strings"

	"github.com/stripe/stripe-go/v76"
)

// customerPage is how many customers one answer of the list holds.
const customerPage = 100

// FindCustomer returns the oldest customer of the account with the e-mail
// address, whatever the case of its letters; "" when there is none. Stripe's list
// compares letter by letter, so it is asked for the address as it is given and
// in lower case; what comes back is compared here.
func (c *Client) FindCustomer(ctx context.Context, account, email string) (string, error) {
	found, oldest := "", int64(0)
	for i, spelling := range []string{email, strings.ToLower(email)} {
		if i > 0 && spelling == email {
			break
		}
		list := c.api.Customers.List(customerQuery(ctx, account, spelling))
		for list.Next() {
			cus := list.Customer()
			if strings.EqualFold(cus.Email, email) && !cus.Deleted && (found == "" || cus.Created < oldest) {
				found, oldest = cus.ID, cus.Created
			}
		}
		if err := list.Err(); err != nil {
			return "", classify("list customers", err)
		}
	}
	return found, nil
}

func customerQuery(ctx context.Context, account, email string) *stripe.CustomerListParams {
	p := &stripe.CustomerListParams{Email: stripe.String(email)}
	p.Context, p.Limit, p.StripeAccount = ctx, stripe.Int64(customerPage), params(ctx, account, "").StripeAccount
	return p
}

// Customer is one to be created.
type Customer struct {
	Account     string
	Email, Name string
	Metadata    map[string]string
}

// CreateCustomer creates a customer; once a day at most for one address, so that
// two who found none at the same time make one. The key holds a hash and not the
// address: keys are no place for personal data.
func (c *Client) CreateCustomer(ctx context.Context, o Customer) (string, error) {
	sum := sha256.Sum256([]byte(strings.ToLower(o.Email)))
	key := "customer:" + o.Account + ":" + hex.EncodeToString(sum[:])
	for n := 1; ; n++ {
		id, err := c.newCustomer(ctx, o, key)
		if !errors.Is(err, ErrKept) || n == customerKeys {
			return id, err
		}
		// Stripe says nothing else under this key: its list knows whether there is one.
		if id, findErr := c.FindCustomer(ctx, o.Account, o.Email); id != "" || findErr != nil {
			return id, findErr
		}
		if !replayed(err) {
			return "", err // it has just failed; who repeats it goes on to the next key
		}
		key = "customer:" + o.Account + ":" + hex.EncodeToString(sum[:]) + ":" + strconv.Itoa(n+1)
	}
}

// customerKeys is how many keys an address may use up in a day of failures.
const customerKeys = 50

func (c *Client) newCustomer(ctx context.Context, o Customer, key string) (string, error) {
	p := &stripe.CustomerParams{Params: params(ctx, o.Account, key), Email: stripe.String(o.Email), Metadata: maps.Clone(o.Metadata)}
	if o.Name != "" {
		p.Name = stripe.String(o.Name)
	}
	cus, err := c.api.Customers.New(p)
	if err != nil {
		return "", classifyKeyed("create customer", err)
	}
	return cus.ID, nil
}

// NameCustomer gives a customer a name if he has none, and reports whether he
// had none.
func (c *Client) NameCustomer(ctx context.Context, account, id, name string) (bool, error) {
	cus, err := c.api.Customers.Get(id, &stripe.CustomerParams{Params: params(ctx, account, "")})
	if err != nil {
		return false, classify("read customer "+id, err)
	}
	if cus.Name != "" {
		return false, nil
	}
	_, err = c.api.Customers.Update(id, &stripe.CustomerParams{Params: params(ctx, account, ""), Name: stripe.String(name)})
	return err == nil, classify("name customer "+id, err)
}
