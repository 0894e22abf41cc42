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

// Far are the numbers of a column that are far from those of training, by more than ten standard
// deviations from their mean: what a model makes of such is a guess.
type Far struct {
	Unknown
	Mean float64 `json:"mean"` // of training
	Std  float64 `json:"std"`
}

// Add adds what was found of the same column elsewhere.
func (u *Unknown) Add(more Unknown) {
	u.Count += more.Count
	for _, e := range more.Examples {
		u.Show(e)
	}
}

// Show adds an example, if it is a new one and there are few.
func (u *Unknown) Show(value string) {
	if len(u.Examples) < UnknownShown && !slices.Contains(u.Examples, value) {
		u.Examples = append(u.Examples, value)
	}
}
