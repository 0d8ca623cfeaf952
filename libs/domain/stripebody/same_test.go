package stripebody_test

import (
	"strings"
	"testing"

	"quittance.internal/libs/domain/stripebody"
)

const one = `{"id":"evt_1","type":"charge.succeeded","livemode":false,"account":"acct_1","api_version":"2023-10-16","pending_webhooks":1,` +
	`"data":{"object":{"id":"ch_1","amount":100.0,"refunded":false}}}`

func TestOneEventInOtherFormsIsNoConflict(t *testing.T) {
	for name, c := range map[string]struct {
		later  string
		want   stripebody.Relation
		detail string
	}{
		"the same bytes":          {one, stripebody.Same, ""},
		"delivered to fewer":      {strings.Replace(one, `"pending_webhooks":1`, `"pending_webhooks":0`, 1), stripebody.OtherRendering, ""},
		"keys in another order":   {strings.Replace(one, `"id":"ch_1","amount":100.0`, ` "amount" : 100.0 , "id":"ch_1"`, 1), stripebody.OtherRendering, ""},
		"another version":         {strings.Replace(strings.Replace(one, "2023-10-16", "2025-03-31.basil", 1), `"refunded":false`, `"gone":1`, 1), stripebody.OtherRendering, ""},
		"another object":          {strings.Replace(one, `"refunded":false`, `"refunded":true`, 1), stripebody.Conflict, "another object"},
		"a number said otherwise": {strings.Replace(one, `100.0`, `100`, 1), stripebody.Conflict, "another object"},
		"another type":            {strings.Replace(one, `charge.succeeded`, `charge.failed`, 1), stripebody.Conflict, "another type"},
		"another account":         {strings.Replace(one, `acct_1`, `acct_2`, 1), stripebody.Conflict, "another account"},
		"another mode":            {strings.Replace(one, `"livemode":false`, `"livemode":true`, 1), stripebody.Conflict, "another mode"},
		"unreadable":              {`{}`, stripebody.Conflict, "the later event cannot be read"},
	} {
		got, detail := stripebody.Compare([]byte(one), []byte(c.later))
		if got != c.want || detail != c.detail {
			t.Errorf("%s: Compare = %d %q, want %d %q", name, got, detail, c.want, c.detail)
		}
	}
	if r, detail := stripebody.Compare([]byte(`{}`), []byte(one)); r != stripebody.Conflict || detail != "the stored event cannot be read" {
		t.Errorf("Compare = %d %q", r, detail)
	}
	bare := `{"id":"evt_1","type":"x","livemode":false}`
	if r, _ := stripebody.Compare([]byte(bare), []byte(bare+" ")); r != stripebody.OtherRendering {
		t.Errorf("two events without an object: %d", r)
	}
}
