//go:build race

package main

// Under the race detector a schedule takes ten times as long, and there are no races to find in it: it is one goroutine.
const schedulesHere = 1000
