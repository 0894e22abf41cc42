package kernel

// The ops for images on a chosen instruction set.
var (
	NewConvOpISA          = newConvOp
	NewMaxPoolOpISA       = newMaxPoolOp
	NewGlobalAvgPoolOpISA = newGlobalAvgPoolOp
	NewBatchNormOpISA     = newBatchNormOp
)

// AddConvStep adds offsets to a table of steps.
func AddConvStep(x, w int) { new(convSteps).add(x, w) }
