// Package operating holds the tests of the operators' tools against the real payments worker, a real NATS server and a real
// redis-server. It has no code of its own.
package operating
