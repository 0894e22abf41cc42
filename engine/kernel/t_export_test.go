package kernel

// UseISA makes an op run on a chosen instruction set.
func (o *onISA) UseISA(isa ISA) { o.isa = isa }

func (o *RMSNormOp) UseISA(isa ISA)    { o.op.isa = isa }
func (o *LayerNormOp) UseISA(isa ISA)  { o.op.isa = isa }
func (o *SumSquaresOp) UseISA(isa ISA) { o.task.isa = isa }
func (o *MSEOp) UseISA(isa ISA)        { o.sum.isa = isa }

// Logd is the logarithm of the losses.
var Logd = logd

// TileProduct is dst (rows, 16 * groups) = x (rows, k) · w (k, 16 * groups), or that added
// to dst. x is (k, rows) if across is set. All rows have gap more elements than they need.
func TileProduct(isa ISA, dst, x, w []float32, rows, groups, k, gap int, across, more bool) {
	wide := groups*lanes + gap
	p := tileProduct{isa: isa, dst: dst, dstRow: wide, w: w, wRow: wide, x: x, xRow: k + gap, xCol: 1, k: k, more: more}
	if across {
		p.xRow, p.xCol = 1, rows+gap
	}
	p.run(rows, groups)
}
