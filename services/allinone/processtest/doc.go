// Package processtest builds the product's binaries and runs them as processes, for the tests that break them, with a mail
// server that can go away and refuse. It knows no service and decides nothing; packages proof and drill put worlds together
// of it. Only tests import it.
package processtest
