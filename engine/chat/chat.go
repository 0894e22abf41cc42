package chat

import (
	"strings"
	"time"
)

// Limits of the template text, checked by Parse.
const (
	maxSource  = 1 << 20 // bytes of template text
	maxNesting = 100     // statements and parentheses inside each other
	maxDepth   = 1000    // nodes being evaluated inside each other, macro calls included
	maxNested  = 200     // lists and mappings inside each other
)

// Template is a parsed chat template. It is immutable and safe for concurrent use.
type Template struct {
	body    []stmt
	filters map[string]filterFunc
	tests   map[string]testFunc
	strings map[string]stringFunc
}

// Limits bound one rendering. A zero field means the default.
type Limits struct {
	Steps int // evaluated nodes, items walked over, and one per 64 bytes made; default 4 Mi
	// Output is the bytes of the rendered text, at most 16 MiB, default 1 MiB. No text in between
	// may have more than 4 times that, and all that is made on the way not more than 64 times.
	Output int
}

func (l Limits) withDefaults() Limits {
	if l.Steps <= 0 {
		l.Steps = 4 << 20
	}
	if l.Output <= 0 {
		l.Output = 1 << 20
	}
	l.Output = min(l.Output, 16<<20)
	return l
}

// Input is what a template is applied to.
type Input struct {
	// Messages are the turns, oldest first: role, content (text, nil or parts), and what
	// else the caller has (tool_calls, name, …).
	Messages []*Map
	// AddGenerationPrompt asks for the beginning of the assistant's next turn at the end.
	AddGenerationPrompt bool
	// BOS and EOS are the texts of the special tokens, empty if the model has none.
	BOS, EOS string
	// Tools and Documents are lists of mappings, or nil (None in the template).
	Tools, Documents any
	// Extra are further variables, such as enable_thinking. They hide those above and the built-in names.
	Extra map[string]any
	// Now is the clock of strftime_now; without it a template finds no such function.
	Now func() time.Time
	// Limits bound the work. The zero value means the defaults.
	Limits Limits
}

// Parse checks a template's syntax. Its errors are *Error with a line.
//
// Blank and newline handling is that of transformers: the first newline after a block tag
// goes, and so does the indentation before one.
func Parse(template string) (*Template, error) {
	if len(template) > maxSource {
		return nil, &Error{Msg: "the template is longer than 1 MiB", Err: ErrSyntax}
	}
	tokens, err := lex(strings.ToValidUTF8(template, "\uFFFD"))
	if err != nil {
		return nil, err
	}
	body, err := parse(tokens)
	if err != nil {
		return nil, err
	}
	return &Template{body: body, filters: allFilters(), tests: allTests(), strings: stringMethods()}, nil
}

// Render applies the template. Input values may be nil, bool, string, any integer or float
// type, json.Number, *Map, map[string]any (taken in the order of its keys) and slices of these;
// they are copied first. Its errors are *Error with a line.
func (t *Template) Render(in Input) (string, error) {
	limits := in.Limits.withDefaults()
	r := &run{t: t, steps: limits.Steps, bytes: 64 * limits.Output, maxText: 4 * limits.Output, now: in.Now}
	top := newScope(r.builtins())
	if err := fill(top, in); err != nil {
		return "", err
	}
	out := &writer{limit: limits.Output}
	if _, err := r.exec(t.body, newScope(top), out); err != nil {
		return "", err
	}
	return out.String(), nil
}

// fill puts the input's variables in a scope.
func fill(top *scope, in Input) error {
	messages := make([]any, len(in.Messages))
	for i, m := range in.Messages {
		if m == nil {
			return errorf("message %d is nil", i)
		}
		messages[i] = aliasReasoning(m)
	}
	vars := []struct {
		name  string
		value any
	}{
		{"messages", messages},
		{"tools", in.Tools},
		{"documents", in.Documents},
		{"add_generation_prompt", in.AddGenerationPrompt},
		{"bos_token", in.BOS},
		{"eos_token", in.EOS},
	}
	for _, v := range vars {
		value, err := fromGo(v.value, 0)
		if err != nil {
			return errorf("variable %q: %s", v.name, message(err))
		}
		top.set(v.name, value)
	}
	for name, v := range in.Extra {
		value, err := fromGo(v, 0)
		if err != nil {
			return errorf("variable %q: %s", name, message(err))
		}
		top.set(name, value)
	}
	return nil
}

// aliasReasoning gives a message's reasoning under every name that templates read it by, as
// transformers does.
func aliasReasoning(m *Map) *Map {
	for _, name := range []string{"reasoning_content", "thinking", "reasoning"} {
		v, ok := m.Get(name)
		if !ok || v == nil {
			continue
		}
		out := NewMap()
		out.Set("thinking", v)
		for _, k := range m.Keys() {
			old, _ := m.Get(k)
			out.Set(k, old)
		}
		out.Set("reasoning_content", v)
		return out
	}
	return m
}

func message(err error) string {
	if e, ok := err.(*Error); ok { //nolint:errorlint // ours are never wrapped inside the package
		return e.Msg
	}
	return err.Error()
}
