module quittance.internal/libs/domain

go 1.26.0
