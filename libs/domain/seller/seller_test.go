package seller_test

import (
	"errors"
	"testing"
	"time"

	"quittance.internal/libs/domain/event"
	"quittance.internal/libs/domain/quote"
	"quittance.internal/libs/domain/seller"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// folded is a seller whose events went through their wire form.
func folded(t *testing.T, events ...any) *seller.Aggregate {
	t.Helper()
	a := &seller.Aggregate{}
	for i, data := range events {
		var name string
		switch data.(type) {
		case seller.PlanSet:
			name = event.NamePlanSet
		case seller.SeatSet:
			name = event.NameSeatSet
		case seller.Connected:
			name = event.NameConnected
		case seller.ActivationSet:
			name = event.NameActivationSet
		case seller.Deauthorized:
			name = event.NameDeauthorized
		default:
			name = "of_tomorrow"
		}
		env, err := event.NewSeller(name, "main", i+1, noon, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := event.FoldSeller(a, uint64(i+10), event.SellerSubject(name, "main", string(rune('1'+i))), env.Encode()); err != nil {
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
	if _, fresh, err := connect(folded(t, connected, seller.Deauthorized{Account: "acct_1"})); !fresh || err != nil {
		t.Errorf("connected after it was deauthorized: %t, %v", fresh, err)
	}
}

func TestTheConnectionsStateIsTheAccounts(t *testing.T) { // R4, R11
	on := seller.Connected{Account: "acct_1", Mode: "test"}
	for _, tt := range []struct {
		a    *seller.Aggregate
		want quote.Payee
	}{
		{folded(t, on), quote.Payee{Plan: "enterprise", Account: "acct_1", Activated: true}},
		{folded(t, on, seller.ActivationSet{Account: "acct_1"}), quote.Payee{Plan: "enterprise", Account: "acct_1"}},
		{folded(t, on, seller.ActivationSet{Account: "acct_2"}), quote.Payee{Plan: "enterprise", Account: "acct_1", Activated: true}},
		{folded(t, on, seller.Deauthorized{Account: "acct_1"}), quote.Payee{Plan: "enterprise", Account: "acct_1", Activated: true, Deauthorized: true}},
		{folded(t, on, seller.Deauthorized{Account: "acct_1"}, on), quote.Payee{Plan: "enterprise", Account: "acct_1", Activated: true}},
	} {
		if got := tt.a.Payee("platform"); got != tt.want {
			t.Errorf("payee = %+v, want %+v", got, tt.want)
		}
	}
}

func TestWhatIsNoSellerEventIsNotFolded(t *testing.T) {
	for subject, body := range map[string]string{
		"seller.connected.main":     `{}`,
		"seller.connected.main.x":   `{}`,
		"seller.connected.main.1":   `{`,
		"seller.connected.main.2":   `{}`,
		"quote.paid.main.q_1.1":     `{}`,
		"seller.connected.ma-in.1":  `{}`,
		"seller.deauthorized.main.": `{}`,
	} {
		if err := event.FoldSeller(&seller.Aggregate{}, 1, subject, []byte(body)); err == nil {
			t.Errorf("FoldSeller(%s, %s) = nil", subject, body)
		}
	}
}
