package natsstream

// Unfit is unfit.
var Unfit = unfit
