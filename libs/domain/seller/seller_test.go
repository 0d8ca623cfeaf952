package seller_test

import (
	"errors"
	"strconv"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// folded is a seller whose events, and whose account's facts, went through their
// wire form.
func folded(t *testing.T, events ...any) *seller.Aggregate {
	t.Helper()
	a := &seller.Aggregate{}
	for i, data := range events {
		var name, account string
		switch d := data.(type) {
		case seller.PlanSet:
			name = event.NamePlanSet
		case seller.SeatSet:
			name = event.NameSeatSet
		case seller.Authorized:
			name = event.NameAuthorized
		case seller.Connected:
			name = event.NameConnected
		case seller.Deauthorized:
			name = event.NameDeauthorized
		case seller.AccountUpdated:
			name, account = event.NameAccountUpdated, d.Account
		case seller.AccountDeauthorized:
			name, account = event.NameAccountDeauthorized, d.Account
		default:
			name = "of_tomorrow"
		}
		n := strconv.Itoa(i + 1)
		subject := event.SellerSubject(name, "main", n)
		env, err := event.NewSeller(name, "main", i+1, noon, data)
		if account != "" {
			subject = event.SellerSubject(name, account, "evt_"+n)
			env, err = event.NewAccountFact(name, account, "evt_"+n, noon, data)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := event.FoldSeller(a, uint64(i+10), subject, env.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func code(err error) string {
	if refusal, ok := errors.AsType[*quote.Refusal](err); ok {
		return refusal.Reasons[0].Rule + " " + refusal.Reasons[0].Code
	}
	return ""
}

func connect(a *seller.Aggregate, change ...func(*seller.Authorization)) (seller.Connected, bool, error) {
	z := seller.Authorization{User: "sue", Account: "acct_1", Mode: "test", Activated: true, DeploymentMode: "test", Policy: quote.DefaultPolicy()}
	for _, f := range change {
		f(&z)
	}
	return a.Connect("main", z, noon)
}

func TestASellerWithoutEventsIsPaidOnTheDeploymentsAccount(t *testing.T) {
	a := folded(t)
	if got := a.Payee("platform"); got != (quote.Payee{Plan: "enterprise", Account: "platform", Activated: true}) || !a.Seat("anyone") {
		t.Errorf("payee = %+v", got)
	}
	if a = folded(t, map[string]string{"a": "b"}); a.Version != 1 || a.Sequence != 10 {
		t.Errorf("an event of tomorrow = %+v", a)
	}
}

func TestOnlyEntitledPlansAndPaidSeatsConnect(t *testing.T) { // R3, R7
	for _, tt := range []struct {
		a    *seller.Aggregate
		want string
	}{
		{folded(t), ""},
		{folded(t, seller.PlanSet{Plan: "starter"}), ""},
		{folded(t, seller.PlanSet{Plan: "free"}), "R3 plan_not_entitled"},
		{folded(t, seller.SeatSet{User: "ann", Paid: true}), "R7 no_paid_seat"},
		{folded(t, seller.SeatSet{User: "sue", Paid: true}), ""},
		{folded(t, seller.SeatSet{User: "sue", Paid: true}, seller.SeatSet{User: "sue"}), "R7 no_paid_seat"},
	} {
		if _, _, err := connect(tt.a); code(err) != tt.want {
			t.Errorf("%+v: %v, want %q", tt.a, err, tt.want)
		}
	}
	if _, _, err := folded(t).SetPlan(seller.PlanSet{Plan: "gold"}); code(err) != "R3 unknown_plan" {
		t.Errorf("plan gold: %v", err)
	}
	if _, fresh, err := folded(t).SetPlan(seller.PlanSet{Plan: "free"}); !fresh || err != nil {
		t.Errorf("plan free: %t, %v", fresh, err)
	}
}

func TestAnAccountMustBeActivatedAndOfOurMode(t *testing.T) { // R6, R11
	if _, _, err := connect(folded(t), func(z *seller.Authorization) { z.Activated = false }); code(err) != "R6 account_inactive" {
		t.Errorf("not activated: %v", err)
	}
	if _, _, err := connect(folded(t), func(z *seller.Authorization) { z.Mode = "live" }); code(err) != "R11 account_mode" {
		t.Errorf("live in test: %v", err)
	}
	connected, fresh, err := connect(folded(t))
	if err != nil || !fresh || connected.Account != "acct_1" || connected.By != "sue" {
		t.Errorf("connected = %+v, %t, %v", connected, fresh, err)
	}
	if _, fresh, err := connect(folded(t, connected)); fresh || err != nil {
		t.Errorf("connected again: %t, %v", fresh, err)
	}
	if _, fresh, err := connect(folded(t, connected, updated("acct_1", 5, false))); !fresh || err != nil {
		t.Errorf("connected when it was activated again: %t, %v", fresh, err)
	}
	if _, fresh, err := connect(folded(t, connected, seller.Deauthorized{Account: "acct_1"})); !fresh || err != nil {
		t.Errorf("connected after it was deauthorized: %t, %v", fresh, err)
	}
}

// Words of Stripe on an account, so many seconds after noon.
func updated(account string, seconds int, on bool) seller.AccountUpdated {
	return seller.AccountUpdated{Account: account, Activated: on, At: noon.Add(time.Duration(seconds) * time.Second)}
}

func withdrawn(account string, seconds int) seller.AccountDeauthorized {
	return seller.AccountDeauthorized{Account: account, At: noon.Add(time.Duration(seconds) * time.Second)}
}

func TestTheConnectionsStateIsTheAccounts(t *testing.T) { // R4, R11
	on := seller.Connected{Account: "acct_1", Mode: "test", At: noon.Add(700 * time.Millisecond)}
	again := seller.Connected{Account: "acct_1", Mode: "test", At: noon.Add(time.Minute)}
	other := seller.Connected{Account: "acct_2", Mode: "test", At: noon.Add(time.Minute)}
	payable := quote.Payee{Plan: "enterprise", Account: "acct_1", Activated: true}
	inactive := quote.Payee{Plan: "enterprise", Account: "acct_1"}
	gone := quote.Payee{Plan: "enterprise", Account: "acct_1", Activated: true, Deauthorized: true}
	for name, tt := range map[string]struct {
		a    *seller.Aggregate
		want quote.Payee
	}{
		"connected":                          {folded(t, on), payable},
		"not activated any more":             {folded(t, on, updated("acct_1", 5, false)), inactive},
		"activated again":                    {folded(t, on, updated("acct_1", 5, false), updated("acct_1", 6, true)), payable},
		"the same in the other order":        {folded(t, on, updated("acct_1", 6, true), updated("acct_1", 5, false)), payable},
		"a tie goes to not activated":        {folded(t, on, updated("acct_1", 5, false), updated("acct_1", 5, true)), inactive},
		"a tie in the other order":           {folded(t, on, updated("acct_1", 5, true), updated("acct_1", 5, false)), inactive},
		"news from before the connection":    {folded(t, on, updated("acct_1", -5, false)), payable},
		"what was known is asked anew":       {folded(t, updated("acct_1", 5, false), on), payable},
		"another account's news":             {folded(t, on, updated("acct_2", 5, false), withdrawn("acct_2", 5)), payable},
		"withdrawn":                          {folded(t, on, withdrawn("acct_1", 5)), gone},
		"withdrawn in the same second":       {folded(t, on, withdrawn("acct_1", 0)), gone},
		"withdrawn, told twice":              {folded(t, on, withdrawn("acct_1", 5), withdrawn("acct_1", 5)), gone},
		"withdrawn before, told late":        {folded(t, on, withdrawn("acct_1", -5)), payable},
		"disconnected by the seller":         {folded(t, on, seller.Deauthorized{Account: "acct_1"}), gone},
		"of an account before this one":      {folded(t, on, other, withdrawn("acct_1", 90)), quote.Payee{Plan: "enterprise", Account: "acct_2", Activated: true}},
		"connected again":                    {folded(t, on, withdrawn("acct_1", 5), again), payable},
		"connected again, the old told late": {folded(t, on, withdrawn("acct_1", 5), again, withdrawn("acct_1", 5)), payable},
		"connected again and withdrawn":      {folded(t, on, withdrawn("acct_1", 5), again, withdrawn("acct_1", 90)), gone},
		"the deployment's own account":       {folded(t, updated("platform", 5, false)), quote.Payee{Plan: "enterprise", Account: "platform"}},
	} {
		if got := tt.a.Payee("platform"); got != tt.want {
			t.Errorf("%s: payee = %+v, want %+v", name, got, tt.want)
		}
	}
	if c := folded(t, on).Connection(); c == nil || c.Account != "acct_1" || !c.Activated || !c.ConnectedAt.Equal(on.At) {
		t.Errorf("connection = %+v", c)
	}
	if a := folded(t, on, updated("acct_1", 5, false)); a.Version != 1 || a.Sequence != 10 {
		t.Errorf("a fact of an account moves the seller's own sequence: %d, %d", a.Version, a.Sequence)
	}
}

func TestAnAuthorizationIsUsedOnce(t *testing.T) { // R7, R10
	used := seller.Authorized{State: "aa", By: "sue"}
	if _, err := folded(t).Authorize(used, quote.DefaultPolicy()); err != nil {
		t.Errorf("first use: %v", err)
	}
	if _, err := folded(t, used).Authorize(used, quote.DefaultPolicy()); code(err) != "R10 state_used" {
		t.Errorf("second use: %v", err)
	}
	if _, err := folded(t, seller.SeatSet{User: "ann", Paid: true}).Authorize(used, quote.DefaultPolicy()); code(err) != "R7 no_paid_seat" {
		t.Errorf("without a seat: %v", err)
	}
}

func TestSeatsAreSaidOnce(t *testing.T) { // R7
	a := folded(t, seller.SeatSet{User: "sue", Paid: true}, seller.SeatSet{User: "ann"})
	if got := a.Seats(); len(got) != 2 || got[0] != (seller.Seat{User: "ann"}) || got[1] != (seller.Seat{User: "sue", Paid: true}) {
		t.Errorf("seats = %+v", got)
	}
	if _, fresh := a.SetSeat(seller.SeatSet{User: "sue", Paid: true}); fresh {
		t.Error("the same seat is news")
	}
	if _, fresh := a.SetSeat(seller.SeatSet{User: "bob"}); !fresh {
		t.Error("that bob has no seat is no news")
	}
}

func TestDisconnectingEndsTheConnectionOnce(t *testing.T) { // R11
	on := seller.Connected{Account: "acct_1", Mode: "test", At: noon}
	if _, fresh := folded(t).Disconnect("main", "sue", noon); fresh {
		t.Error("nothing to disconnect, and it was")
	}
	end, fresh := folded(t, on).Disconnect("main", "sue", noon)
	if !fresh || end.Account != "acct_1" || end.By != "sue" {
		t.Errorf("disconnected = %+v, %t", end, fresh)
	}
	if _, fresh := folded(t, on, end).Disconnect("main", "sue", noon); fresh {
		t.Error("disconnected twice")
	}
	if _, fresh := folded(t, on, withdrawn("acct_1", 5)).Disconnect("main", "sue", noon); !fresh {
		t.Error("Stripe's word came first, and who disconnected is not on record")
	}
	if _, fresh := folded(t, on, end, on).Disconnect("main", "sue", noon); !fresh {
		t.Error("connected again, it cannot be disconnected again")
	}
}

func TestWhatIsNoSellerEventIsNotFolded(t *testing.T) {
	for subject, body := range map[string]string{
		"seller.connected.main":               `{}`,
		"seller.connected.main.x":             `{}`,
		"seller.connected.main.1":             `{`,
		"seller.connected.main.2":             `{}`,
		"quote.paid.main.q_1.1":               `{}`,
		"seller.connected.ma-in.1":            `{}`,
		"seller.deauthorized.main.":           `{}`,
		"seller.account_updated.acct_1.evt_1": `{`,
	} {
		if err := event.FoldSeller(&seller.Aggregate{}, 1, subject, []byte(body)); err == nil {
			t.Errorf("FoldSeller(%s, %s) = nil", subject, body)
		}
	}
}

// A seller must not be taken for an account, whose facts stand beside the sellers' events.
func TestASellerIsNoAccount(t *testing.T) { // R76
	for id, ok := range map[string]bool{"main": true, "acct": true, "acct_1": false, "platform": false, "": false, "a.b": false} {
		if event.ValidSeller(id) != ok || (event.SellerFilter(id) != "") != ok {
			t.Errorf("seller %q: %t, filter %q", id, event.ValidSeller(id), event.SellerFilter(id))
		}
	}
	for id, ok := range map[string]bool{"main": false, "acct_1": true, "platform": true, "": false, "acct_*": false} {
		if (event.AccountFilter(id) != "") != ok {
			t.Errorf("account %q: filter %q", id, event.AccountFilter(id))
		}
	}
	if _, err := event.NewSeller(event.NamePlanSet, "acct_1", 1, noon, seller.PlanSet{}); err == nil {
		t.Error("an event of the seller acct_1 was made")
	}
	if _, err := event.NewAccountFact(event.NameAccountUpdated, "main", "evt_1", noon, seller.AccountUpdated{}); err == nil {
		t.Error("a fact of the account main was made")
	}
}
