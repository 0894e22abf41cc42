package data

import "strings"

// Survey finds out how the numbers of a file are written whose columns are known from
// another one: as they are there unless they can only be read in another way. One goroutine
// uses it.
type Survey struct {
	columns []*evidence
	absent  absent
}

// NewSurvey returns a survey of so many columns of numbers. missing are words for missing values
// beside those that are built in.
func NewSurvey(columns int, missing ...string) *Survey {
	s := &Survey{absent: newAbsent(missing)}
	for range columns {
		s.columns = append(s.columns, newEvidence())
	}
	return s
}

// Add looks at a value of a column, in a line of the file.
func (s *Survey) Add(column int, field string, line int) {
	e := s.columns[column]
	if field = clean(field); s.absent.number(field) {
		return
	}
	e.values++
	if n, ok := parseNumeral(withoutMeasure(field)); ok {
		e.numeral(n, strings.Clone(field), line)
	}
}

// Minus tells of a column of which nearly all numbers have a minus behind them, with the first.
func (s *Survey) Minus(column int) (example string, all bool) {
	e := s.columns[column]
	return e.trailing.at(), e.trailing.count > 0 && 20*e.trailing.count >= 19*e.numerals
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
