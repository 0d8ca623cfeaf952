// Package proof holds the tests that run the product's real processes against real servers and break them: SIGKILL at every
// fault point, flushed and restarted stores, a stopped worker, a mail server that is away, hundreds of quotes at once. What
// must hold afterwards is written down once, in invariants_test.go, as I1 to I9.
//
// It has no code of its own: the files are tests. It lies in the all-in-one module because that is the only one that may
// link embedded servers.
package proof
