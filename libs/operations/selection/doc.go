// Package selection says which messages of the log are meant: one language for the command line, the console and replays.
//
// It reads and changes nothing of the log but what it is asked to find. quotectl and the console turn flags and queries into
// a Selection here, so that both mean the same by the same words.
package selection
