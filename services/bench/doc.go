// Package bench measures ingress and the payments worker against their limits and their peers, side by side in one run: an
// absolute figure tells as much about the machine as about the program, a ratio taken within seconds on one machine does not.
//
// It has no code of its own: the files are benchmarks, run by `make bench` and never by `make test`. What is measured and
// what it is compared with runs as processes of its own, the product's as they are shipped, on a real NATS server and a real
// redis-server; the load comes from the benchmark's process. Candidates take turns within a round, each ratio is taken within
// one round, and the median of the rounds is reported. What was acknowledged is looked up afterwards: a fast wrong answer fails.
// It needs Linux: processor time and memory of a process are read from /proc.
//
// Tables and plots go into docs/performance.md, between markers.
//
// It does not measure the domain code by itself (libs/domain has benchmarks for that), clusters, TLS, or a network. It is a
// module that is not in the workspace, because the peers are modules: their requirements must not choose versions of ours.
package bench
