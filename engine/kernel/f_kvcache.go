package kernel

import "fmt"

// KVCache holds the keys and values of one sequence in one block, in float32. Keys lie in
// groups of 16 positions, (headDim, 16) each, so that positions are lanes; values in
// groups of 16 elements of a head, (positions, 16) each, so that elements are lanes. It
// is for one goroutine at a time.
type KVCache struct {
	kvHeads, headDim, max int
	len                   int
	keys                  []float32 // (kvHeads, max/16, headDim, 16)
	values                []float32 // (kvHeads, headDim/16, max, 16)
}

// NewKVCache returns an empty cache for maxTokens positions.
func NewKVCache(kvHeads, headDim, maxTokens int) *KVCache {
	if kvHeads < 1 || headDim < 1 || maxTokens < 1 {
		panic(fmt.Sprintf("kernel: cache of %d heads of %d for %d tokens", kvHeads, headDim, maxTokens))
	}
	return &KVCache{
		kvHeads: kvHeads, headDim: headDim, max: maxTokens,
		keys:   make([]float32, kvHeads*groupsOf(maxTokens)*headDim*lanes),
		values: make([]float32, kvHeads*groupsOf(headDim)*maxTokens*lanes),
	}
}

// KVBytes returns the memory that a cache of these sizes takes.
func KVBytes(kvHeads, headDim, maxTokens int) int64 {
	k := int64(groupsOf(maxTokens)) * int64(headDim)
	v := int64(groupsOf(headDim)) * int64(maxTokens)
	return (k + v) * int64(kvHeads) * lanes * 4
}

func groupsOf(n int) int { return (n + lanes - 1) / lanes }

// Len returns the number of positions held.
func (c *KVCache) Len() int { return c.len }

// Cap returns the number of positions there is room for.
func (c *KVCache) Cap() int { return c.max }

// Bytes returns the memory the cache takes.
func (c *KVCache) Bytes() int64 { return KVBytes(c.kvHeads, c.headDim, c.max) }

// Truncate forgets the positions from pos on.
func (c *KVCache) Truncate(pos int) {
	if pos < 0 || pos > c.len {
		panic(fmt.Sprintf("kernel: truncate a cache of %d tokens at %d", c.len, pos))
	}
	c.len = pos
}

// Append adds n positions; k and v are (n, kvHeads * headDim).
func (c *KVCache) Append(k, v []float32, n int) {
	width := c.kvHeads * c.headDim
	if n < 0 || n > c.max-c.len || len(k) < n*width || len(v) < n*width {
		panic(fmt.Sprintf("kernel: append %d tokens, %d and %d elements, to a cache of %d of %d tokens of %d", n, len(k), len(v), c.len, c.max, width))
	}
	for i := range n {
		for h := range c.kvHeads {
			at := i*width + h*c.headDim
			c.set(h, c.len+i, k[at:at+c.headDim], v[at:at+c.headDim])
		}
	}
	c.len += n
}

// set stores one head's key and value of a position.
func (c *KVCache) set(h, pos int, k, v []float32) {
	keys := c.headKeys(h)[pos/lanes*c.headDim*lanes+pos%lanes:]
	for d, x := range k {
		keys[d*lanes] = x
	}
	values := c.headValues(h)[pos*lanes:]
	for d := 0; d < len(v); d += lanes {
		copy(values[d*c.max:d*c.max+lanes], v[d:min(d+lanes, len(v))])
	}
}

func (c *KVCache) headKeys(h int) []float32 {
	size := groupsOf(c.max) * c.headDim * lanes
	return c.keys[h*size : (h+1)*size]
}

func (c *KVCache) headValues(h int) []float32 {
	size := groupsOf(c.headDim) * c.max * lanes
	return c.values[h*size : (h+1)*size]
}
