package chat_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/chat"
)

func TestInputValues(t *testing.T) {
	t.Parallel()
	ordered := chat.NewMap()
	ordered.Set("z", 1)
	ordered.Set("a", []string{"x"})
	tests := []struct {
		name  string
		value any
		want  string
	}{
		{"nil", nil, `null`},
		{"int", 3, `3`},
		{"uint64", uint64(math.MaxUint64), `18446744073709551615`},
		{"float", 1.0, `1.0`},
		{"number", json.Number("1e2"), `100.0`},
		{"long number", json.Number("123456789012345678901234567890"), `123456789012345678901234567890`},
		{"order kept", ordered, `{"z": 1, "a": ["x"]}`},
		{"map sorted", map[string]any{"z": 1, "a": true}, `{"a": true, "z": 1}`},
		{"maps", []map[string]any{{"a": "b"}}, `[{"a": "b"}]`},
		{"bad text", "a\xffb", `"a` + "\uFFFD" + `b"`},
		{"nil map", (*chat.Map)(nil), `null`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := render(`{{ x | tojson }}`, chat.Input{Extra: map[string]any{"x": tt.value}})
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestInputRefused(t *testing.T) {
	t.Parallel()
	deep := []any{}
	for range 300 {
		deep = []any{deep}
	}
	tests := []struct {
		name string
		in   chat.Input
		want string
	}{
		{"kind", chat.Input{Extra: map[string]any{"x": struct{}{}}}, "a struct {} cannot be given"},
		{"channel inside", chat.Input{Tools: []any{make(chan int)}}, `variable "tools": a chan int`},
		{"depth", chat.Input{Documents: deep}, "nested deeper than 200"},
		{"nil message", chat.Input{Messages: []*chat.Map{nil}}, "message 0 is nil"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := render(`a`, tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReasoningHasEveryName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"reasoning", "reasoning_content", "thinking"} {
		m := chat.Message("assistant", "a")
		m.Set(name, "why")
		got, err := render(`{{ messages[0].thinking }}{{ messages[0].reasoning_content }}{{ messages[0].content }}`, chat.Input{Messages: []*chat.Map{m}})
		if err != nil || got != "whywhya" {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	const template = `{{ strftime_now('%d %b %Y') if strftime_now is defined else 'no clock' }}`
	got, err := render(template, chat.Input{})
	if err != nil || got != "no clock" {
		t.Errorf("got %q, %v", got, err)
	}
	now := func() time.Time { return time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC) }
	got, err = render(template, chat.Input{Now: now})
	if err != nil || got != "03 Feb 2026" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestMapJSON(t *testing.T) {
	t.Parallel()
	const text = `{"z":1,"a":{"y":[1,2.50,null],"b":"\u003c"},"z":2}`
	var m chat.Map
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(&m)
	if want := `{"z":2,"a":{"y":[1,2.50,null],"b":"\u003c"}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, bad := range []string{``, `{`, `[1]`, `{"a":1} 2`, `{"a":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`} {
		if err := new(chat.Map).UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%.20q was read", bad)
		}
	}
}

func Example() {
	tmpl, err := chat.Parse("{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}")
	if err != nil {
		panic(err)
	}
	out, err := tmpl.Render(chat.Input{Messages: []*chat.Map{chat.Message("user", "Hi")}})
	if err != nil {
		panic(err)
	}
	fmt.Println(out)
	// Output: <user>Hi</user>
}
