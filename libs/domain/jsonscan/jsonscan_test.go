package jsonscan_test

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"quittance.internal/libs/domain/jsonscan"
)

// texts are JSON and nearly JSON; the fuzz targets start from them.
var texts = []string{
	`{}`, `[]`, `""`, `0`, `-0`, `true`, `false`, `null`, ` { } `, "\t[\r\n]",
	`{"id":"evt_1","type":"charge.succeeded","livemode":false,"data":{"object":{"amount":100,"list":[1,2,{"a":[]}]}}}`,
	"{\n  \"id\": \"evt_1\",\n          \"deep\": {\n            \"x\": [ 1 , 2 ]\n          }\n}",
	`{"a":1,"a":2,"A":3}`, `{"\u0061":1,"\ud83d\ude00":2,"\ud83d":3,"caf\u00e9":4}`, `"a\"\\\/\b\f\n\r\té"`,
	"\"\xff\xfe ok \xc3\xa9\"", "{\"\xff\":1}", `12.5e-7`, `1E+9`, `-1.0`, `9223372036854775807`, `-9223372036854775808`,
	``, ` `, `{`, `}`, `[`, `]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `[1,]`, `[,1]`, `[1 2]`, `{"a":1 "b":2}`, `{1:2}`,
	`"`, `"\`, `"\u12`, `"\x"`, "\"\n\"", `01`, `-`, `1.`, `.5`, `1e`, `+1`, `tru`, `nul`, `truex`, `{} {}`, `[}`, `{]`,
	`{"a":[1,{"b":[2]}],"c":"dddddddddddddddddddddddddd\n"}`, `[[[[[[]]]]]]`, `[{"a":[{"b":{}}]}]`, "\ufeff{}", "{}\x00", `'a'`,
	`"12345678`, `"1234567"`, `"1234567890123456\"`, "\"1234567\x01\"", "\"\x7f\x80\"",
}

func TestValidAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range texts {
		if got, want := jsonscan.Valid([]byte(text)), json.Valid([]byte(text)); got != want {
			t.Errorf("Valid(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestNestingIsFollowedToTheLimitAndNoFurther(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 66, 128, 129, 1000, jsonscan.MaxDepth - 1, jsonscan.MaxDepth, jsonscan.MaxDepth + 1, 3 * jsonscan.MaxDepth} {
		for _, text := range []string{
			strings.Repeat("[", n) + strings.Repeat("]", n),
			strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1),
			strings.Repeat(`[{"a":`, n/2) + "1" + strings.Repeat("}]", n/2),
			strings.Repeat(`[{"a":`, n/2) + "1" + strings.Repeat("]}", n/2),
		} {
			if got, want := jsonscan.Valid([]byte(text)), json.Valid([]byte(text)); got != want {
				t.Errorf("Valid of %d levels %.8s… = %v, want %v", n, text, got, want)
			}
		}
	}
}

func TestObjectCountsTheLevelsAroundAValue(t *testing.T) {
	inner := strings.Repeat("[", jsonscan.MaxDepth) + strings.Repeat("]", jsonscan.MaxDepth)
	err := jsonscan.Object([]byte(`{"a":`+inner+`}`), func(_, _ []byte) error { return nil })
	if syntax, ok := errors.AsType[*jsonscan.SyntaxError](err); !ok {
		t.Errorf("Object of %d levels = %v, want a *SyntaxError", jsonscan.MaxDepth+1, err)
	} else if syntax.Offset != len(`{"a":`)+jsonscan.MaxDepth-1 {
		t.Errorf("Offset = %d, want %d", syntax.Offset, len(`{"a":`)+jsonscan.MaxDepth-1)
	}
}

func TestObjectReportsMembersInOrderWithDuplicates(t *testing.T) {
	var got []string
	err := jsonscan.Object([]byte(` {"a" : 1 , "\u0061":{ "x":[ ] } ,"A":"s" } rest`), func(key, value []byte) error {
		got = append(got, string(key)+"="+string(value))
		return nil
	})
	want := `a=1|a={ "x":[ ] }|A="s"`
	if joined := strings.Join(got, "|"); err != nil || joined != want {
		t.Errorf("Object = %s, %v, want %s", joined, err, want)
	}
}

func TestErrorOfTheCallerComesBackUnchanged(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	for _, err := range []error{
		jsonscan.Object([]byte(`{"a":1,"b":2}`), func(_, _ []byte) error { calls++; return stop }),
		jsonscan.Array([]byte(`[1,2]`), func(_ []byte) error { calls++; return stop }),
	} {
		if err != stop { //nolint:errorlint // identity is the guarantee
			t.Errorf("walk = %v, want the caller's own error", err)
		}
	}
	if calls != 2 {
		t.Errorf("calls = %d, want 2: the walk ends at the first error", calls)
	}
}

func TestBrokenSyntaxIsAnErrorWithItsPlace(t *testing.T) {
	for text, offset := range map[string]int{
		``: 0, `[]`: 0, `{`: 1, `{"a"`: 4, `{"a":`: 5, `{"a":1`: 6, `{"a":1,`: 7, `{"a":1,}`: 7, `{"a" 1}`: 5,
		`{"a":tru}`: 5, `{"a":01}`: 6, `{"a":"b`: 7, `{"a":[1,2}}`: 9, `{"a":1 "b":2}`: 7, `{a:1}`: 1, `{"a":-}`: 6, `{"a":"\q"}`: 6,
	} {
		err := jsonscan.Object([]byte(text), func(_, _ []byte) error { return nil })
		if syntax, ok := errors.AsType[*jsonscan.SyntaxError](err); !ok || syntax.Offset != offset {
			t.Errorf("Object(%s) = %v, want a *SyntaxError at byte %d", text, err, offset)
		}
	}
}

func TestStringDecodesAsEncodingJSONDoes(t *testing.T) {
	for _, text := range append([]string{`"\ud83d\ude00"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\ude00\ud83d"`, `"\u0000"`, `"\u00E9\u00e9"`}, texts...) {
		var want string
		isString := strings.HasPrefix(text, `"`) && json.Unmarshal([]byte(text), &want) == nil
		if got, ok := jsonscan.String([]byte(text)); ok != isString || (ok && got != want) {
			t.Errorf("String(%q) = %q, %v, want %q, %v", text, got, ok, want, isString)
		}
	}
}

func TestIntIsExactOrRefused(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "7": 7, "-12": -12, "9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64,
		"9223372036854775806": math.MaxInt64 - 1, "-9223372036854775807": math.MinInt64 + 1,
	} {
		if got, ok := jsonscan.Int([]byte(text)); !ok || got != want {
			t.Errorf("Int(%s) = %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "-", "01", "-01", "1.0", "1e0", "1E2", "9223372036854775808", "-9223372036854775809", "92233720368547758070",
		"18446744073709551616", "99999999999999999999999999", `"1"`, "+1", " 1", "0x10", "1_0", "true", "null", "{}",
	} {
		if got, ok := jsonscan.Int([]byte(text)); ok {
			t.Errorf("Int(%q) = %d, want a refusal", text, got)
		}
	}
}

func TestScalarsOfTheWrongTypeAreRefused(t *testing.T) {
	for text, want := range map[string][2]bool{"true": {true, true}, "false": {false, true}, "null": {}, `"true"`: {}, "1": {}, "": {}, "tru": {}} {
		if truth, ok := jsonscan.Bool([]byte(text)); truth != want[0] || ok != want[1] {
			t.Errorf("Bool(%q) = %v, %v, want %v", text, truth, ok, want)
		}
	}
	if !jsonscan.IsNull([]byte("null")) || jsonscan.IsNull([]byte(`"null"`)) || jsonscan.IsNull(nil) {
		t.Error("IsNull does not tell null from the rest")
	}
	if !jsonscan.IsObject([]byte("{}")) || jsonscan.IsObject([]byte("[]")) || jsonscan.IsObject(nil) {
		t.Error("IsObject does not tell objects from the rest")
	}
	if !jsonscan.IsArray([]byte("[]")) || jsonscan.IsArray([]byte("{}")) || jsonscan.IsArray(nil) {
		t.Error("IsArray does not tell arrays from the rest")
	}
}

func TestCursorSkipsWhatTheCallerLeavesAlone(t *testing.T) {
	c := jsonscan.NewCursor([]byte(`{"skip":{"a":[1]},"list":[10,{"x":1},20],"down":{"n":5,"m":6},"last":7}`))
	var got []string
	number := func(name string) error {
		raw, err := c.Raw()
		got = append(got, name+"="+string(raw))
		return err
	}
	err := c.Object(func(key []byte) error {
		switch string(key) {
		case "list":
			return c.Array(func() error {
				if c.Peek() == '{' {
					return nil
				}
				return number("item")
			})
		case "down":
			return c.Object(func(key []byte) error {
				if string(key) == "m" {
					return number("m")
				}
				return nil
			})
		case "last":
			return number("last")
		}
		return nil
	})
	want := "item=10 item=20 m=6 last=7"
	if joined := strings.Join(got, " "); err != nil || joined != want {
		t.Errorf("walk = %s, %v, want %s", joined, err, want)
	}
	if c.Peek() != 0 || !c.Done() {
		t.Errorf("Peek = %q, Done = %v after the end, want 0 and true", c.Peek(), c.Done())
	}
	if c = jsonscan.NewCursor([]byte("{} \x00")); c.Skip() != nil || c.Done() {
		t.Error("Done takes a zero byte for the end")
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	body := []byte(`{"id":"evt_1","amount":123456,"livemode":true,"data":{"object":{"id":"ch_1","list":[1,2,{"a":"b"}]}},"type":"x"}`)
	var id, amount int
	allocs := testing.AllocsPerRun(100, func() {
		if !jsonscan.Valid(body) {
			t.Fatal("not valid")
		}
		err := jsonscan.Object(body, func(key, value []byte) error {
			switch string(key) {
			case "id":
				text, _ := jsonscan.Text(value)
				id += len(text)
			case "amount":
				n, _ := jsonscan.Int(value)
				amount += int(n)
			case "data":
				return jsonscan.Object(value, func(_, _ []byte) error { return nil })
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("allocations = %v, want 0", allocs)
	}
}

// FuzzValid holds the scanner to encoding/json on every input, and every value
// that a walk hands out to being valid itself.
func FuzzValid(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		valid := json.Valid(b)
		if got := jsonscan.Valid(b); got != valid {
			t.Fatalf("Valid(%q) = %v, want %v", b, got, valid)
		}
		var n int64
		wantInt := json.Unmarshal(b, &n) == nil && strconv.Itoa(int(n)) == string(b)
		if got, ok := jsonscan.Int(b); wantInt && (!ok || got != n) {
			t.Fatalf("Int(%q) = %d, %v, want %d", b, got, ok, n)
		} else if ok && !valid {
			t.Fatalf("Int(%q) accepts what is not JSON", b)
		}
		check := func(value []byte) error {
			if !json.Valid(value) {
				t.Fatalf("walk of %q hands out %q, which is not JSON", b, value)
			}
			return nil
		}
		err := jsonscan.Array(b, check)
		if valid && (err == nil) != (firstByte(b) == '[') {
			t.Fatalf("Array(%q) = %v", b, err)
		}
		err = jsonscan.Object(b, func(_, value []byte) error { return check(value) })
		if valid && (err == nil) != (firstByte(b) == '{') {
			t.Fatalf("Object(%q) = %v", b, err)
		}
	})
}

func firstByte(b []byte) byte {
	if trimmed := strings.TrimLeft(string(b), " \t\r\n"); trimmed != "" {
		return trimmed[0]
	}
	return 0
}

// FuzzObject holds keys, values and strings to what encoding/json makes of them.
func FuzzObject(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var text string
		if firstByte(b) == '"' && b[0] == '"' && b[len(b)-1] == '"' && json.Unmarshal(b, &text) == nil {
			if got, ok := jsonscan.String(b); !ok || got != text {
				t.Fatalf("String(%q) = %q, %v, want %q", b, got, ok, text)
			}
		}
		var want map[string]json.RawMessage
		if firstByte(b) != '{' || json.Unmarshal(b, &want) != nil {
			return
		}
		got := map[string]string{}
		if err := jsonscan.Object(b, func(key, value []byte) error {
			got[string(key)] = string(value)
			return nil
		}); err != nil {
			t.Fatalf("Object(%q) = %v", b, err)
		}
		if len(got) != len(want) {
			t.Fatalf("Object(%q) has keys %q, want %q", b, got, want)
		}
		for key, value := range want {
			if got[key] != string(value) {
				t.Fatalf("Object(%q)[%q] = %q, want %q", b, key, got[key], value)
			}
		}
	})
}

func BenchmarkValid(b *testing.B) {
	body := []byte(`{"data":[` + strings.Repeat(`{"id":"ch_3PqRsTuVwXyZ0123","amount":12345,"captured":true,"refunded":null,"text":"a rather longer string of text"},`, 30) + `{}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if !jsonscan.Valid(body) {
			b.Fatal("not valid")
		}
	}
}
