// Package check finds what should worry an operator: here, messages that nobody has decided about.
//
// It reads the log, its consumers and the projection, and changes nothing. quotectl, the console and monitoring call it.
package check
