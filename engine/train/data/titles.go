package data

import (
	"slices"
	"strings"
	"unicode"
)

// grade is how surely a word is the title of a row that is made of others.
type grade int

const (
	noTitle grade = iota
	mayTitle
	isTitle
)

// titleWords are what people call rows of sums, in languages in which tables are written; and
// mayTitleWords what they call rows of means and the like, and what may be something else: a value
// between good and poor, a name.
var (
	titleWords = wordSet(isTitle, `summe summen gesamtsumme gesamt gesamtergebnis gesamtwert insgesamt zwischensumme teilsumme endsumme
		zwischenergebnis teilergebnis übertrag durchschnittswert mittelwert
		total totals subtotal subtotals sum sums
		somme totaux moyenne totale totali subtotale somma suma sumas subtotales promedio soma média totaal subtotaal gemiddelde
		summa delsumma delsum medelvärde genomsnitt gjennomsnitt gennemsnit yhteensä keskiarvo razem średnia celkem součet průměr
		összesen átlag toplam ortalama итого всего сумма среднее 合计 合計 总计 總計 小计 小計 平均 平均値 σ ∑ ø`)
	mayTitleWords = wordSet(mayTitle, `ergebnis endergebnis saldo durchschnitt average averages mean mittel median standardabweichung stdabw max min maximum minimum maximal minimal
		höchstwert tiefstwert anzahl count avg media medio som antal aantal nombre std stddev mw`)
	// fillers stand beside such words.
	fillers = wordSet(isTitle, `sub sous grand general generale général générale der des aller über alle of all the und and or rows columns
		objekte zeilen werte general geral i alt`)
)

func wordSet(g grade, words string) map[string]grade {
	out := map[string]grade{}
	for _, w := range strings.Fields(words) {
		out[w] = g
	}
	return out
}

// titleBytes is how long a title may be.
const titleBytes = 64

// titleOf tells whether a text is the title of a total: alone whether nothing else is in it but
// numbers and single letters, as in "Summe 600 Objekte", and begun whether it begins or ends with it.
func titleOf(s string) (alone, begun grade) {
	if len(s) > titleBytes {
		return noTitle, noTitle
	}
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '∑'
	})
	if len(words) == 0 {
		return noTitle, noTitle
	}
	rest := false // other words
	for i, w := range words {
		g := max(titleWords[w], mayTitleWords[w])
		if alone = max(alone, g); i == 0 || i == len(words)-1 {
			begun = max(begun, g)
		}
		rest = rest || g == noTitle && fillers[w] == noTitle && len([]rune(w)) > 1 && strings.Trim(w, "0123456789") != ""
	}
	if rest {
		alone = noTitle
	}
	return alone, begun
}

// titles finds the rows that are called what totals are, by all fields of a file, in its order.
type titles struct {
	figures, texts []int // values of a column that have digits at their beginning, and other ones
	grades         map[string][2]grade
}

func newTitles(columns int) *titles {
	return &titles{figures: make([]int, columns), texts: make([]int, columns), grades: map[string][2]grade{}}
}

// of is titleOf, which it remembers.
func (t *titles) of(s string) (alone, begun grade) {
	g, ok := t.grades[s]
	if !ok {
		g[0], g[1] = titleOf(s)
		if len(t.grades) < totalWords {
			t.grades[strings.Clone(s)] = g
		}
	}
	return g[0], g[1]
}

// figure reports whether a value is a number, a date or a number of a row such as A-0017.
func figure(s string) bool {
	return strings.ContainsAny(s[:min(len(s), 5)], "0123456789")
}

// count looks at the fields of a row.
func (t *titles) count(fields []string, missing absent) {
	for c, s := range fields {
		switch {
		case missing.number(s):
		case figure(s):
			t.figures[c]++
		default:
			if _, begun := t.of(s); begun == noTitle {
				t.texts[c]++
			}
		}
	}
}

// numbered reports whether a column has numbers, dates or the like.
func (t *titles) numbered(c int) bool {
	return t.figures[c] > 0 && 20*t.texts[c] <= t.figures[c]+t.texts[c]
}

// titled returns where the title of a row is, -1 if it has none. It is sure where it stands in a
// column of numbers or of dates; else it is in the first field that is filled.
func (t *titles) titled(fields []string, missing absent) (column int, g grade, sure bool) {
	first := slices.IndexFunc(fields, func(s string) bool { return !missing.any(s) })
	for c, s := range fields {
		if missing.number(s) || !t.numbered(c) || figure(s) {
			continue
		}
		if _, begun := t.of(s); begun != noTitle {
			return c, begun, true
		}
	}
	if first < 0 {
		return -1, noTitle, false
	}
	if g, _ = t.of(fields[first]); g == noTitle {
		first = -1
	}
	return first, g, false
}
