package round

// Kept is how many messages of others a machine keeps.
func (m *Machine) Kept() int {
	n := len(m.joins) + len(m.leaves) + len(m.pending) + len(m.drafts) + 2*len(m.evidence)
	for _, p := range m.places {
		if n += len(p.reduced); p.header != nil {
			n++
		}
	}
	for _, early := range m.early {
		for _, msg := range early {
			if msg != nil {
				n++
			}
		}
	}
	return n
}

// Deadline is how long a member waits that has measured some waits.
func Deadline(s Span, k float64, waits ...int) int {
	var m meter
	for _, w := range waits {
		m.add(w)
	}
	return m.deadline(s, k)
}
