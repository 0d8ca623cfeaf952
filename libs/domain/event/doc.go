// Package event is what is written on the log: the names of streams, subjects
// and headers, the CloudEvents envelope, the data of the quote's events, and
// the ids that make one fact one message.
//
// It neither publishes nor reads (natsstream does) and decides nothing (quote
// does). Every service uses it; other teams read the same bytes through
// libs/quotepaid.
//
// # Compatibility
//
// An envelope once written decodes for ever: fields are added within a version,
// never renamed or removed, and a change of meaning gets a new dataschema
// beside the old one. testdata holds one file per event and version; a change
// to one of them is a break.
package event
