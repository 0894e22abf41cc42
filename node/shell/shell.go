// Package shell writes what a person is to paste into a shell. It has functions only; cmd and
// the parts of a node whose errors tell commands import it.
package shell

import "strings"

// plain are the characters besides letters and digits that no shell gives a meaning.
const plain = "-_./:@%+,="

// Quote returns a word as a shell takes it: itself if it has no character with a meaning,
// else in single quotes.
func Quote(word string) string {
	special := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(plain, r)
	}
	if word != "" && !strings.ContainsFunc(word, special) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
