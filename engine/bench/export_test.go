package bench

// Best gives tests what a run makes of two measurements of the machine.
var Best = Machine.best
