package data

import "strings"

// Survey finds out how the numbers of a file are written whose columns are known from
// another one: as they are there unless they can only be read in another way. One goroutine
// uses it.
type Survey struct{ columns []*evidence }

// NewSurvey returns a survey of so many columns of numbers.
func NewSurvey(columns int) *Survey {
	s := &Survey{}
	for range columns {
		s.columns = append(s.columns, newEvidence())
	}
	return s
}

// Add looks at a value of a column, in a line of the file.
func (s *Survey) Add(column int, field string, line int) {
	e := s.columns[column]
	if field = clean(field); noNumber(field) {
		return
	}
	e.values++
	if n, ok := parseNumeral(withoutMeasure(field)); ok {
		e.numeral(n, strings.Clone(field), line)
	}
}

// Decimal tells what stands before the decimals of a column, "." or ",", "" if its numbers do not
// tell it.
func (s *Survey) Decimal(column int) string { return s.columns[column].tells() }

// Written tells what stands before the decimals of the numbers, "." or ",", what between their
// thousands, if anything, and a value that shows it. decimal is set if that is not empty; else it is
// empty if no column tells it, or if columns differ.
func (s *Survey) Written(set string) (decimal, thousands, example string) {
	decimal = set
	for _, e := range s.columns {
		switch d := e.tells(); {
		case d == "" || d == decimal || set != "":
		case decimal != "":
			return "", "", ""
		default:
			decimal, example = d, e.point.at()
			if d == "," {
				example = e.comma.at()
			}
		}
	}
	marks := map[string]int{}
	for _, e := range s.columns {
		if mark := e.thousands(Notation{Decimal: strings.TrimPrefix(decimal, ".")}); mark != "" {
			marks[mark]++
		}
	}
	return decimal, most(marks), example
}
