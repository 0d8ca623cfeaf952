package stripegate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"quittance.internal/libs/platform/stripegate"
)

func TestAPageOfEventsIsStripesOwnRenderingAndNamesTheAccount(t *testing.T) {
	const page = `200 {"object":"list","url":"/v1/events","has_more":true,"data":[{"id":"evt_2","object":"event","amount":100.0},{"id":"evt_1","object":"event","account":"acct_2"}]}`
	c, seen := against(t, page)
	got, err := c.Events(t.Context(), stripegate.EventQuery{Account: "acct_1", Types: []string{"a.b", "c.d"}, Since: time.Unix(1700000000, 0), After: "evt_3"})
	if err != nil || len(got.Events) != 2 || got.Last != "evt_1" || !got.More {
		t.Fatalf("Events = %+v, %v", got, err)
	}
	if first := string(got.Events[0]); !strings.Contains(first, `"account":"acct_1"`) || !strings.Contains(first, "100.0") || !strings.Contains(string(got.Events[1]), "acct_2") {
		t.Errorf("events = %s", got.Events)
	}
	if len(seen.list) != 1 { // the next page is the caller's to ask for
		t.Fatalf("calls = %v", seen.list)
	}
	for _, want := range []string{"GET /v1/events?", "created[gte]=1700000000", "limit=100", "starting_after=evt_3", "types[0]=a.b", "types[1]=c.d", " acct_1"} {
		if !strings.Contains(seen.list[0], want) {
			t.Errorf("call %s lacks %s", seen.list[0], want)
		}
	}
	own, _ := against(t, page)
	if got, err := own.Events(t.Context(), stripegate.EventQuery{Account: "platform"}); err != nil || string(got.Events[0]) != `{"id":"evt_2","object":"event","amount":100.0}` {
		t.Errorf("an event of our own account = %s, %v", got.Events[0], err)
	}
}

func TestAnObjectIsReadByItsIdAndNothingElseIs(t *testing.T) {
	c, seen := against(t, `200 {"id":"ch_1","object":"charge","amount":1.0}`)
	if body, err := c.Object(t.Context(), "acct_1", "ch_1"); err != nil || !strings.Contains(string(body), `"amount":1.0`) || seen.list[0] != "GET /v1/charges/ch_1 acct_1" {
		t.Errorf("Object = %s, %v by %v", body, err, seen.list)
	}
	for _, id := range []string{"", "ch_", "ch_1/../../accounts", "evt_1", "pi_1?expand[]=x"} {
		if stripegate.Readable(id) {
			t.Errorf("%q is readable", id)
		}
	}
	if _, err := c.Object(t.Context(), "platform", "ch_1/refunds"); err == nil || len(seen.list) != 1 {
		t.Errorf("%v, calls %v", err, seen.list)
	}
}

func TestTheRateLimitSaysHowLongToWait(t *testing.T) {
	c, _ := against(t, `429 {"error":{"type":"invalid_request_error","code":"rate_limit","message":"slow down"}}`)
	_, err := c.Events(t.Context(), stripegate.EventQuery{Account: "platform"})
	if !errors.Is(err, stripegate.ErrUnavailable) || stripegate.RetryAfter(err) != 0 || stripegate.Unauthorized(err) {
		t.Errorf("Events = %v", err)
	}
	c, _ = against(t, `401 {"error":{"message":"who?"}}`)
	if _, err := c.Events(t.Context(), stripegate.EventQuery{Account: "platform"}); !stripegate.Unauthorized(err) {
		t.Errorf("Events = %v", err)
	}
}
