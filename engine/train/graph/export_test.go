package graph

// Place gives offsets to pieces of memory with sizes and lifetimes.
func Place(sizes, first, last []int) (at []int, total int) {
	slots := make([]*slot, len(sizes))
	for i := range slots {
		slots[i] = &slot{size: sizes[i], first: first[i], last: last[i]}
	}
	total = place(slots)
	for _, s := range slots {
		at = append(at, s.at)
	}
	return at, total
}
