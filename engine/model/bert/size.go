package bert

// RowBytes returns the scratch memory that one row of a batch needs.
func (c *Config) RowBytes() int64 {
	return int64(8*c.Dim+c.FFN)*4 + int64(max(c.Dim, c.FFN))*4 // with caches and the prepared input of a product
}
