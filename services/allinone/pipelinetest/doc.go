// Package pipelinetest runs services in the test's own process and puts the pipeline together of them: ingress, payments and, in
// Stripe's place, the sandbox, on a NATS server and a redis-server of the test's own. What runs as processes is package
// processtest's. Only tests import it.
package pipelinetest
