module quittance.internal/libs/platform

go 1.26.0

replace quittance.internal/libs/domain => ../../libs/domain

require (
	github.com/prometheus/client_golang v1.25.0 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	go.uber.org/zap v1.28.0 // indirect
	golang.org/x/net v0.62.0 // indirect
)
