module quittance.internal/libs/quotepaid

go 1.26.0
