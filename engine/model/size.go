package model

import "github.com/covey-network/covey/engine/nn"

func (c *Config) rowBytes() int64 {
	if c.Bert != nil {
		return c.Bert.RowBytes()
	}
	return c.Llama.RowBytes()
}

// chunkRows returns the most rows of one chunk.
func (c *Config) chunkRows() int {
	return int(min(max(scratchBudget/c.rowBytes(), minRows), maxRows))
}

// ScratchBytes returns the memory that the activations of the largest chunk take on a stage
// of the range r. Outputs that no session keeps come on top: those longer than
// nn.MaxKeptFloats.
func (c Config) ScratchBytes(r Range) int64 {
	switch {
	case c.Vision != nil:
		return c.Vision.ScratchBytes()
	case c.MLP != nil:
		return c.MLP.ScratchBytes()
	}
	rows := c.chunkRows()
	if c.Bert != nil {
		rows = max(rows, c.ContextLen()) // a text of an encoder is never split
	}
	n := int64(rows) * c.rowBytes()
	if c.Llama != nil && r.Head {
		n += int64(headRows) * int64(c.Vocab()+c.Dim()) * 4
	}
	return n
}

// SessionBytes returns the memory that a session of maxTokens tokens takes on a stage of
// the range r: keys, values and the output that it keeps.
func (c Config) SessionBytes(r Range, maxTokens int) int64 {
	if c.Llama == nil {
		return 0
	}
	width := c.Dim()
	if r.Head {
		width = c.Vocab()
	}
	kept := max(width, min(maxTokens*width, nn.MaxKeptFloats))
	return c.Llama.CacheBytes(r.Last-r.First, maxTokens) + int64(kept)*4
}
