// Package chaos kills the product at random, for as long as one likes: all of its processes, nats-server and redis-server too, are
// killed, stopped and robbed of answers by a nemesis that follows a seed, while webhooks come in without a pause; a tester of its
// own writes down what was acknowledged. Then the faults stop, everything must come to its end, and package invariants judges.
//
// Package proof enumerates the places at which a process can die; this one does not know them, and finds what they leave out.
// `make chaos` runs it at full size; `make check` a short form. It has no code of its own: the files are tests.
package chaos
