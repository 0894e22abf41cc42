package hf

import (
	"io"
	"strings"
	"unicode"

	"github.com/covey-network/covey/engine/format/folder"
)

// readLicense takes the license from the model card, README.md. A model runs without one,
// so a card that cannot be read counts as one that does not tell.
func readLicense(in *folder.Folder) string {
	f, err := in.Open("README.md")
	if err != nil {
		return ""
	}
	defer f.Close()
	card, err := io.ReadAll(io.LimitReader(f, maxCard))
	if err != nil {
		return ""
	}
	return cardLicense(string(card))
}

// cardLicense finds the license in the YAML between two lines of dashes that a card begins
// with. It reads one plain or quoted word on the line of its key; whatever else YAML allows
// counts as none.
func cardLicense(card string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(card, "\ufeff"), "---")
	if !ok {
		return ""
	}
	for i, line := range strings.Split(rest, "\n") {
		line = strings.TrimRight(line, " \t\r")
		switch {
		case i == 0 && line != "", i > 0 && line == "---":
			return ""
		case strings.HasPrefix(line, "license:"):
			return plainWord(strings.TrimPrefix(line, "license:"))
		}
	}
	return ""
}

// plainWord returns a scalar without its quotes and comment, "" if it is none.
func plainWord(s string) string {
	if i := strings.Index(s, " #"); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSpace(s)
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		s = s[1 : n-1]
	}
	if len(s) > maxLicense || s == "null" || s == "~" || strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._+ ()/", r)
	}) {
		return ""
	}
	return s
}
