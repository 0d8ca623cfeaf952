module quittance.internal/services/allinone

go 1.26.0

replace (
	quittance.internal/libs/domain => ../../libs/domain
	quittance.internal/libs/platform => ../../libs/platform
	quittance.internal/libs/quotepaid => ../../libs/quotepaid
	quittance.internal/services/ingress => ../../services/ingress
	quittance.internal/services/payments => ../../services/payments
	quittance.internal/services/notifier => ../../services/notifier
	quittance.internal/services/quotes => ../../services/quotes
	quittance.internal/services/operator => ../../services/operator
)
