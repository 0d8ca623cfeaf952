module quittance.internal/services/operator

go 1.26.0

replace (
	quittance.internal/libs/domain => ../../libs/domain
	quittance.internal/libs/platform => ../../libs/platform
)
