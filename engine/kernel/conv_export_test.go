package kernel

// The ops for images on a chosen instruction set.
var (
	NewConvOpISA          = newConvOp
	NewMaxPoolOpISA       = newMaxPoolOp
	NewGlobalAvgPoolOpISA = newGlobalAvgPoolOp
	NewBatchNormOpISA     = newBatchNormOp
)
