//go:build !race

package main

const schedulesHere = 10_000
