// Package mask hides personal data in what operators look at: e-mail addresses, names, telephone numbers, postal addresses
// and card digits in JSON bodies, addresses in the words of mail servers.
//
// It is for showing, not for storing: the log keeps what it has. quotectl and the console show nothing else unless they are
// told to show the stored bytes.
package mask

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"quittance.internal/libs/platform/logging"
)

// hidden stands for a masked value.
const hidden = "***"

// personal are members whose texts are personal wherever they stand.
var personal = []string{
	"first_name", "last_name", "company", "phone", "line1", "line2", "city", "postal_code", "state_or_province", "last4", "fingerprint",
	"ip_address", "ip", "customer_name", "individual_name", "business_name", "statement_descriptor_suffix", "tax_id", "iban",
}

// people are members below which "name", "state" and "country" are a person's.
var people = []string{
	"address", "billing_details", "card", "contact", "customer", "customer_address", "customer_details", "customer_shipping",
	"individual", "owner", "shipping", "shipping_details", "collected_information",
}

// personalNames are personal below one of people.
var personalNames = []string{"name", "state", "country", "dynamic_last4"}

// JSON returns a document, indented, with everything personal masked; members keep their order and numbers their digits.
func JSON(data []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var w writer
	if err := w.value(dec, "", false); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if dec.More() {
		return nil, fmt.Errorf("read JSON: something follows the document")
	}
	var out bytes.Buffer
	if err := json.Indent(&out, w.b.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return out.Bytes(), nil
}

// Text masks what looks like an e-mail address.
func Text(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	words := strings.SplitAfter(text, " ")
	for i, word := range words {
		if core := strings.Trim(word, "<>()[],;:\"' "); strings.Contains(core, "@") {
			words[i] = strings.Replace(word, core, logging.Mask(core), 1)
		}
	}
	return strings.Join(words, "")
}

// writer writes compact JSON.
type writer struct{ b bytes.Buffer }

// value copies the next value. name is the member it stands under, person whether that is below one of people.
func (w *writer) value(dec *json.Decoder, name string, person bool) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch v := token.(type) {
	case json.Delim:
		return w.container(dec, v, name, person || slices.Contains(people, name))
	case string:
		return w.text(conceal(name, v, person))
	case json.Number:
		w.b.WriteString(v.String())
	case bool:
		fmt.Fprint(&w.b, v)
	default:
		w.b.WriteString("null")
	}
	return nil
}

func (w *writer) container(dec *json.Decoder, open json.Delim, name string, person bool) error {
	w.b.WriteString(open.String())
	for n := 0; dec.More(); n++ {
		if n > 0 {
			w.b.WriteByte(',')
		}
		member := name // elements of a list stand under the list's name
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			var ok bool
			if member, ok = key.(string); !ok {
				return fmt.Errorf("member name %v", key)
			}
			if err := w.text(member); err != nil {
				return err
			}
			w.b.WriteByte(':')
		}
		if err := w.value(dec, member, person); err != nil {
			return err
		}
	}
	closing, err := dec.Token()
	if err != nil {
		return err
	}
	fmt.Fprint(&w.b, closing)
	return nil
}

func (w *writer) text(s string) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return err
	}
	w.b.Write(bytes.TrimRight(b.Bytes(), "\n"))
	return nil
}

func conceal(name, text string, person bool) string {
	switch {
	case text == "":
		return text
	case strings.Contains(name, "email"):
		return logging.Mask(text)
	case slices.Contains(personal, name), person && slices.Contains(personalNames, name):
		return hidden
	}
	return Text(text)
}
