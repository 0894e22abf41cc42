package llama

import "github.com/covey-network/covey/engine/kernel"

// RowBytes returns the scratch memory that one row of a batch needs.
func (c *Config) RowBytes() int64 {
	floats := 2*c.Dim + 2*c.Heads*c.HeadDim + 2*c.KVHeads*c.HeadDim + 2*c.FFN + c.HeadDim
	return int64(floats)*4 + int64(max(c.Dim, c.FFN))*4 // and the prepared input of a product
}

// CacheBytes returns the memory that the caches of so many blocks take; see
// [Stage.NewCaches].
func (c *Config) CacheBytes(blocks, maxTokens int) int64 {
	return int64(blocks) * kernel.KVBytes(c.KVHeads, c.HeadDim, maxTokens)
}
