module quittance.internal/services/ingress

go 1.26.0

replace (
	quittance.internal/libs/domain => ../../libs/domain
	quittance.internal/libs/platform => ../../libs/platform
)

require (
	github.com/stripe/stripe-go/v76 v76.25.0
	quittance.internal/libs/platform v0.0.0-00010101000000-000000000000
)
