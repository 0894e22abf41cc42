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

// AddPart notes a part of the gradient of a value before Gorgonia sums the parts, which then
// does not know of it: as when it takes two sums for one.
func (g *Graph) AddPart(value, grad *Node) { g.parts = append(g.parts, part{value, grad}) }
