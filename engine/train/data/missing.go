package data

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the words for missing values of a table.
const (
	maxMissing      = 256
	maxMissingBytes = 64
)

// absent are words that stand for missing values in a table, beside those that are built in.
type absent map[string]bool

// newAbsent returns the words. Capitals and blanks in them do not count.
func newAbsent(words []string) absent {
	if len(words) == 0 {
		return nil
	}
	a := make(absent, len(words))
	for _, w := range words {
		a[plainWord(w)] = true
	}
	return a
}

func plainWord(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// CheckMissing reports what cannot be a list of words for missing values.
func CheckMissing(words []string) error {
	if len(words) > maxMissing {
		return fmt.Errorf("%d words for missing values, at most %d", len(words), maxMissing)
	}
	for _, w := range words {
		if plainWord(w) == "" || len(w) > maxMissingBytes || !utf8.ValidString(w) || strings.ContainsFunc(w, unicode.IsControl) {
			return fmt.Errorf("word for missing values %.70q: want 1 to %d bytes of text", w, maxMissingBytes)
		}
	}
	return nil
}

func (a absent) has(s string) bool {
	return len(a) > 0 && len(s) <= 2*maxMissingBytes && a[plainWord(s)]
}

// any reports whether a value is missing, in a column of any kind.
func (a absent) any(s string) bool { return isMissing(s) || a.has(s) }

// number reports whether a value stands for a missing one in a column of numbers.
func (a absent) number(s string) bool { return noNumber(s) || a.has(s) }

// isMissing reports whether a value is missing, in a column of any kind: what pandas takes
// for missing (STR_NA_VALUES of pandas 3.1), and a question mark.
func isMissing(s string) bool {
	switch s {
	case "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
		"NULL", "NaN", "None", "n/a", "nan", "null", "?":
		return true
	}
	return false
}

// noNumber reports whether a value stands for a missing one in a column of numbers: what
// people write there, what spreadsheets do, and infinity, from which nothing can be learned.
func noNumber(s string) bool {
	if isMissing(s) {
		return true
	}
	if len(s) > 16 {
		return false
	}
	switch strings.ReplaceAll(strings.ToLower(s), " ", "") {
	case "-", "--", "---", "–", "—", ".", "..", "...", "/", "na", "n/a", "n.a.", "n.a", "n/a.", "nan", "null", "nil", "none", "k.a.", "#nv", "#n/v",
		"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity", "∞", "-∞",
		"#div/0!", "#value!", "#wert!", "#ref!", "#bezug!", "#num!", "#zahl!", "#name?", "#null!":
		return true
	}
	return false
}

// standsIn reports whether a word may stand for a missing value where it is taken for another one:
// what it would be among numbers, or what people write in a few languages.
func standsIn(s string) bool {
	if noNumber(s) {
		return true
	}
	if len(s) > maxMissingBytes {
		return false
	}
	switch plainWord(s) {
	case "keineangabe", "keineangaben", "ohneangabe", "o.a.", "k.a", "ka", "unbekannt", "n.v.", "nichtverfügbar", "nichtvorhanden", "entfällt", "fehlt", "leer",
		"unknown", "missing", "notavailable", "notapplicable", "undefined", "n.d.", "nd", "s.d.", "inconnu", "nonrenseigné", "nc", "n.c.",
		"desconocido", "sindatos", "s/d", "sconosciuto", "nondisponibile", "desconhecido", "onbekend", "n.b.", "nvt", "n.v.t.", "okänd", "ukjent", "ukendt",
		"brakdanych", "brak", "неизвестно", "нетданных", "н/д":
		return true
	}
	return false
}
