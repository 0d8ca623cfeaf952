package cluster_test

import (
	"testing"

	"quittance.internal/services/allinone/processtest"
)

func TestMain(m *testing.M) { processtest.Main(m) }
