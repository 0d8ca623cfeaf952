// Package cluster proves what the product promises where its stores are more than one server: NATS with three copies of the log,
// Redis with Sentinels, Redis Cluster. It runs the real processes with the configurations of deploy/, takes leaders and masters
// away under load, and holds what is left against what an independent tester has seen acknowledged.
//
// `make cluster` runs it in full and prints the figures for docs/guarantees.md; `make check` runs each of it once.
package cluster
