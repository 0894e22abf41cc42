package data

import (
	"strings"
	"unicode/utf8"
)

// nearest returns the name that somebody may have meant, "" if none is like it: at most one
// character in three is another one, and capitals do not count.
func nearest(name string, names []string) string {
	best, least := "", 1+max(1, utf8.RuneCountInString(name)/3)
	if n := utf8.RuneCountInString(name); n < 3 {
		least = 1 // of so few characters one is too many
	}
	for _, other := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(other)); d < least {
			best, least = other, d
		}
	}
	return best
}

// distance is how many characters are to be changed, added or taken away to make a name of
// another (Levenshtein, 1966).
func distance(a, b string) int {
	from, to := []rune(a), []rune(b)
	row := make([]int, len(to)+1) // of the characters of from so far
	for k := range row {
		row[k] = k
	}
	for i, r := range from {
		before := row[0]
		row[0] = i + 1
		for k, s := range to {
			change := before
			if r != s {
				change++
			}
			before = row[k+1]
			row[k+1] = min(change, before+1, row[k]+1)
		}
	}
	return row[len(to)]
}
