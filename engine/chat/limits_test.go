package chat_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/chat"
)

// Each template would take memory or time without end in an engine that has no limits.
func TestLimits(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"text times number":      `{{ 'a' * 10**9 }}`,
		"text times huge number": `{{ 'ab' * 9223372036854775807 }}`,
		"list times number":      `{{ ([1] * 10**9) | length }}`,
		"tuple times huge":       `{{ ((1, 2) * 9223372036854775807) | length }}`,
		"doubling text":          `{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}`,
		"doubling by plus":       `{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}`,
		"doubling list":          `{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}`,
		"nested list printed":    `{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}`,
		"nested list as JSON":    `{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}`,
		"nested list compared":   `{% set a = namespace(s=[1], t=[1]) %}{% for i in range(60) %}{% set a.s = [a.s, a.s] %}{% set a.t = [a.t, a.t] %}{% endfor %}{{ a.s == a.t }}`,
		"nested list ordered":    `{% set a = namespace(s=[1], t=[1]) %}{% for i in range(60) %}{% set a.s = [a.s, a.s] %}{% set a.t = [a.t, a.t] %}{% endfor %}{{ a.s < a.t }}`,
		"nested tuple as key":    `{% set a = namespace(s=(1,)) %}{% for i in range(60) %}{% set a.s = (a.s, a.s) %}{% endfor %}{{ {a.s: 1} | length }}`,
		"deep list":              `{% set a = namespace(s=[]) %}{% for i in range(5000) %}{% set a.s = [a.s] %}{% endfor %}{{ a.s }}`,
		"namespace in itself":    `{% set a = namespace() %}{% set a.a = a %}{{ a }}`,
		"endless macro":          `{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}`,
		"macros of macros":       `{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}`,
		"endless caller":         `{% macro m() %}{{ caller is defined }}{% call m() %}{% endcall %}{% endmacro %}{{ m() }}`,
		"loops in loops":         `{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}`,
		"map over maps":          `{% set r = range(100000) %}{% for i in r %}{{ r | map('string') | join | length }}{% endfor %}`,
		"map nested in map":      `{% set ns = namespace(g=[1]) %}{% for i in range(5000) %}{% set ns.g = ns.g | map('string') %}{% endfor %}{{ ns.g | join }}`,
		"select doubling":        `{% set ns = namespace(g=range(1000)) %}{% for i in range(100000) %}{% set ns.g = ns.g | select | list %}{% endfor %}`,
		"output":                 `{% for i in range(100000) %}{{ 'a' * 100 }}{% endfor %}`,
		"output by text":         `{% for i in range(100000) %}` + strings.Repeat("abc", 30) + `{% endfor %}`,
		"set block":              `{% set x %}{% for i in range(100000) %}{{ 'a' * 100 }}{% endfor %}{% endset %}`,
		"replace":                `{{ ('a' * 100000) | replace('a', 'b' * 100000) }}`,
		"replace nothing":        `{{ ('a' * 100000) | replace('', 'b' * 100000) }}`,
		"replace method":         `{{ ('a' * 100000).replace('a', 'b' * 100000) }}`,
		"join":                   `{{ ('b' * 100000).join('a' * 100000) }}`,
		"join filter":            `{{ ('a' * 100000) | join('b' * 100000) }}`,
		"indent":                 `{{ ('\n' * 100000) | indent('b' * 100000) }}`,
		"wide indent":            `{{ 'a' | indent(10**12) }}`,
		"center":                 `{{ 'a' | center(10**12) }}`,
		"ljust":                  `{{ 'a'.ljust(9223372036854775807) }}`,
		"zfill":                  `{{ 'a'.zfill(9223372036854775807) }}`,
		"percent width":          `{{ '%999999999999d' % 1 }}`,
		"percent precision":      `{{ '%.999999999999d' % 1 }}`,
		"percent float":          `{{ '%.99999999f' % 1.5 }}`,
		"format width":           `{{ '{:999999999999}'.format(1) }}`,
		"JSON indent":            `{{ [1] | tojson(indent=10**12) }}`,
		"range":                  `{{ range(10**9) | list }}`,
		"range of far numbers":   `{{ range(-9223372036854775807, 9223372036854775807) | list }}`,
		"batch":                  `{{ [1] | batch(10**12, 'x') | list }}`,
		"slices":                 `{{ [1] | slice(10**12) | list }}`,
		"power":                  `{{ 10 ** 10 ** 10 }}`,
		"integers":               `{{ 9223372036854775807 + 1 }}`,
		"parentheses":            `{{ ` + strings.Repeat("(", 10000) + `1` + strings.Repeat(")", 10000) + ` }}`,
		"lists":                  `{{ ` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + ` }}`,
		"minus signs":            `{{ ` + strings.Repeat("-", 10000) + `1 }}`,
		"nots":                   `{{ ` + strings.Repeat("not ", 10000) + `1 }}`,
		"conditions":             `{{ ` + strings.Repeat("1 if 0 else ", 10000) + `1 }}`,
		"sum":                    `{{ 1` + strings.Repeat("+1", 10000) + ` }}`,
		"filters":                `{{ 1` + strings.Repeat("|string", 10000) + ` }}`,
		"calls":                  `{{ m` + strings.Repeat("()", 10000) + ` }}`,
		"attributes":             `{{ m` + strings.Repeat(".a", 10000) + ` }}`,
		"blocks":                 strings.Repeat("{% if 1 %}", 10000) + strings.Repeat("{% endif %}", 10000),
		"targets":                `{% set ` + strings.Repeat("(", 10000) + `a` + strings.Repeat(")", 10000) + ` = 1 %}`,
		"long source":            strings.Repeat("a", 1<<20+1),
		"time format":            `{{ strftime_now('%c' * 1000000) }}`,
	}
	for name, template := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := render(template, chat.Input{Now: func() time.Time { return time.Unix(0, 0).UTC() }})
			if err == nil {
				t.Fatalf("got %d bytes, want an error", len(out))
			}
			if !errors.Is(err, chat.ErrLimit) && !errors.Is(err, chat.ErrSyntax) {
				t.Errorf("got %v, want a limit", err)
			}
		})
	}
}

func TestLimitsAreTheCallers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, template string
		limits         chat.Limits
		want           bool
	}{
		{"few steps are enough", `{{ 1 }}`, chat.Limits{Steps: 100}, true},
		{"few steps", `{% for i in range(100) %}{% endfor %}`, chat.Limits{Steps: 100}, false},
		{"short output is enough", `12345678`, chat.Limits{Output: 8}, true},
		{"short output", `123456789`, chat.Limits{Output: 8}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := render(tt.template, chat.Input{Limits: tt.limits})
			if ok := err == nil; ok != tt.want || !ok && !errors.Is(err, chat.ErrLimit) {
				t.Errorf("got %v, want success %v", err, tt.want)
			}
		})
	}
}

// A long conversation must fit in the default limits, with a template that walks it twice.
func TestLongConversationFits(t *testing.T) {
	t.Parallel()
	template := readCases(t, "own_cases.json").Templates["thinking"]
	var in chat.Input
	for i := range 1000 {
		in.Messages = append(in.Messages, chat.Message([]string{"user", "assistant"}[i%2], strings.Repeat("word ", 100)))
	}
	out, err := render(template, in)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 500_000 {
		t.Errorf("got %d bytes", len(out))
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, template, want string
		line                 int
		cause                error
	}{
		{"raised", "a\n\n{{ raise_exception('Roles must alternate') }}", "Roles must alternate", 3, chat.ErrRaised},
		{"syntax", "a\n{% if %}", "expected an expression, got end of statement block", 2, chat.ErrSyntax},
		{"unknown tag", "\n\n\n{% nope %}", `unexpected tag "nope"`, 4, chat.ErrSyntax},
		{"unsupported tag", "{% include 'x' %}", `the tag "include" is not supported`, 1, chat.ErrSyntax},
		{"string", "{{ 'a\n\n }}", "string without end", 1, chat.ErrSyntax},
		{"undefined", "a\n{% if true %}\n{{ b.c }}\n{% endif %}", "'b' is undefined", 3, nil},
		{"attribute", "{{ ''.nope() }}", "'str object' has no attribute 'nope'", 1, nil},
		{"filter", "\n{{ 1 | nope }}", `no filter named "nope"`, 2, nil},
		{"macro", "{% macro m() %}\n\n{{ 1 + 'a' }}\n{% endmacro %}\n{{ m() }}", `unsupported operand types for +: "int" and "str"`, 3, nil},
		{"multi-line tag", "{{\n1 +\n\n'a' }}", `unsupported operand types for +: "int" and "str"`, 2, nil},
		{"argument", "{{ 'a'.split(1, 2, 3) }}", "split takes not more than 2 arguments", 1, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := render(tt.template, chat.Input{})
			var e *chat.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *chat.Error", err)
			}
			if e.Msg != tt.want || e.Line != tt.line {
				t.Errorf("got line %d: %s; want line %d: %s", e.Line, e.Msg, tt.line, tt.want)
			}
			for _, cause := range []error{chat.ErrRaised, chat.ErrSyntax, chat.ErrLimit} {
				if got := errors.Is(err, cause); got != (cause == tt.cause) {
					t.Errorf("errors.Is(err, %v) = %v", cause, got)
				}
			}
		})
	}
}

func TestRenderIsConcurrent(t *testing.T) {
	t.Parallel()
	tmpl, err := chat.Parse(readCases(t, "own_cases.json").Templates["documents"])
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			var first string
			for range 20 {
				got, err := tmpl.Render(chat.Input{Messages: []*chat.Map{chat.Message("user", fmt.Sprint("hello ", i))}})
				if err != nil {
					t.Error(err)
					return
				}
				if first == "" {
					first = got
				}
				if got != first || !strings.Contains(got, fmt.Sprint("hello ", i)) {
					t.Errorf("got %q, first %q", got, first)
				}
			}
		})
	}
	wg.Wait()
}
