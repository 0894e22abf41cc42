package api

import "slices"

// UnknownShown is how many different values of a column are named that a model does not know.
const UnknownShown = 3

// Unknown are the values of a column of categories that training never saw: they count as
// missing.
type Unknown struct {
	Column   string   `json:"column"`
	Count    int      `json:"count"`
	Examples []string `json:"examples"`
}

// Show adds an example, if it is a new one and there are few.
func (u *Unknown) Show(value string) {
	if len(u.Examples) < UnknownShown && !slices.Contains(u.Examples, value) {
		u.Examples = append(u.Examples, value)
	}
}
