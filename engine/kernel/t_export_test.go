package kernel

// UseISA makes an op run on a chosen instruction set.
func (o *onISA) UseISA(isa ISA) { o.isa = isa }

func (o *RMSNormOp) UseISA(isa ISA)    { o.op.isa = isa }
func (o *LayerNormOp) UseISA(isa ISA)  { o.op.isa = isa }
func (o *SumSquaresOp) UseISA(isa ISA) { o.task.isa = isa }
func (o *MSEOp) UseISA(isa ISA)        { o.sum.isa = isa }

// Logd is the logarithm of the losses.
var Logd = logd
