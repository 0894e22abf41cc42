package chat_test

import (
	"testing"

	"github.com/covey-network/covey/engine/chat"
)

func BenchmarkRender(b *testing.B) {
	c := readCases(b, "own_cases.json")
	tmpl, err := chat.Parse(c.Templates["thinking"])
	if err != nil {
		b.Fatal(err)
	}
	in := input(b, c.Conversations["tools"])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Render(in); err != nil {
			b.Fatal(err)
		}
	}
}
