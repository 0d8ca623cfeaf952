// Package alerts holds the tests of deploy/prometheus, deploy/grafana and deploy/runbooks: that the rules fire and do not,
// that every metric in them exists in the code, that every alert has its runbook and every command in a runbook exists. It
// has no code of its own.
package alerts
