module quittance.internal/libs/platform

go 1.26.0

replace (
	quittance.internal/libs/domain => ../../libs/domain
)
