package quote

import "slices"

// Objects are the ids of all sessions, intents, charges, invoices and
// subscriptions that f knows or names, sorted. Facts that name one of them and
// carry no metadata of their own (refunds, disputes, charges, intents of
// subscriptions) belong to this quote. The objects of renewals are not among
// them: see RenewalObjects.
func (f Facts) Objects() []string {
	ids := make([]string, 0, 8)
	for i := range f.Sessions {
		s := &f.Sessions[i]
		ids = append(ids, s.ID)
		ids = append(append(append(ids, s.Intents...), s.Invoices...), s.Subscriptions...)
	}
	for i := range f.Intents {
		t := &f.Intents[i]
		ids = append(ids, t.ID)
		ids = append(append(ids, t.Charges...), t.Invoices...)
	}
	for i := range f.Charges {
		c := &f.Charges[i]
		ids = append(ids, c.ID)
		ids = append(append(ids, c.Intents...), c.Invoices...)
	}
	for i := range f.Invoices {
		t := &f.Invoices[i]
		ids = append(ids, t.ID)
		ids = append(append(append(ids, t.Subscriptions...), t.Intents...), t.Charges...)
	}
	for i := range f.Subscriptions {
		ids = append(ids, f.Subscriptions[i].ID)
	}
	for i := range f.Refunds {
		ids = append(append(ids, f.Refunds[i].Charges...), f.Refunds[i].Intents...)
	}
	for i := range f.Disputes {
		ids = append(append(ids, f.Disputes[i].Charges...), f.Disputes[i].Intents...)
	}
	for i := range f.Warnings {
		ids = append(append(ids, f.Warnings[i].Charges...), f.Warnings[i].Intents...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(f.Renewals) > 0 {
		ids = slices.DeleteFunc(ids, func(id string) bool { return id == f.Renewals[0].ID })
	}
	return ids
}

// RenewalObjects are the ids of the invoices that f knows to be renewals: the
// latest. Facts without metadata that name one of them say nothing about the
// quote (R46).
func (f Facts) RenewalObjects() []string {
	var ids []string
	for i := range f.Renewals {
		ids = append(ids, f.Renewals[i].ID)
	}
	return ids
}

// Currencies are the currencies in which money was settled, refunded or
// disputed, sorted, for callers that refuse some of them (R52).
func (f Facts) Currencies() []string {
	var all []string
	add := func(currency string) {
		if currency != "" && !slices.Contains(all, currency) {
			all = append(all, currency)
		}
	}
	settled := func(list []Settlement) {
		for i := range list {
			add(list[i].Currency)
		}
	}
	for i := range f.Sessions {
		settled(f.Sessions[i].Settled)
	}
	for i := range f.Intents {
		settled(f.Intents[i].Settled)
	}
	for i := range f.Charges {
		settled(f.Charges[i].Settled)
	}
	for i := range f.Invoices {
		settled(f.Invoices[i].Settled)
	}
	for i := range f.Refunds {
		add(f.Refunds[i].Money.Currency)
	}
	for i := range f.Disputes {
		add(f.Disputes[i].Money.Currency)
	}
	slices.Sort(all)
	return all
}
