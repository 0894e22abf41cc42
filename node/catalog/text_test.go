package catalog_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/covey-network/covey/engine/chat"
	"github.com/covey-network/covey/node/catalog"
)

func TestText(t *testing.T) {
	t.Parallel()
	_, m, empty, f := pair(t)
	got, err := empty.Get(t.Context(), m.CID, nil)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]*catalog.Text, 8)
	var wg sync.WaitGroup
	for i := range texts {
		wg.Go(func() {
			var err error
			if texts[i], err = empty.Text(t.Context(), got); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, x := range texts[1:] {
		if x != texts[0] {
			t.Error("opened twice")
		}
	}
	if f.calls != 2 { // manifest and tokenizer
		t.Errorf("%d fetches", f.calls)
	}
	text := texts[0]
	const words = "package main // prints äöü"
	ids := text.Tokenizer.Encode(words, false)
	if back := text.Tokenizer.Decode(ids, true); len(ids) == 0 || back != words {
		t.Errorf("%v decode to %q", ids, back)
	}
	if text.Template == nil || text.TemplateErr != nil {
		t.Fatalf("no template: %v", text.TemplateErr)
	}
	prompt, err := text.Template.Render(chat.Input{Messages: []*chat.Map{chat.Message("user", words)}, AddGenerationPrompt: true, BOS: m.Manifest.BOS, EOS: m.Manifest.EOS})
	if err != nil || len(prompt) <= len(words) {
		t.Errorf("got %q, %v", prompt, err)
	}
}

// TestTextTemplate checks that a template that cannot be used leaves the tokenizer.
func TestTextTemplate(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	tests := []struct {
		name, template string
		bad            bool
	}{
		{"none", "", false},
		{"syntax", "{% for", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ck := *demoCheckpoint(t)
			ck.ChatTemplate = tt.template
			m, err := c.Import(t.Context(), &ck, tt.name, nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := c.Text(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if text.Tokenizer == nil || text.Template != nil || errors.Is(text.TemplateErr, chat.ErrSyntax) != tt.bad {
				t.Errorf("got %+v", text)
			}
		})
	}
}

// TestTextBounded opens more tokenizers than stay in memory.
func TestTextBounded(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	ck := demoCheckpoint(t)
	var first *catalog.Text
	var models []*catalog.Model
	for i := range 12 {
		m, err := c.Import(t.Context(), ck, string(rune('a'+i)), nil)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
		text, err := c.Text(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := c.Text(t.Context(), m); err != nil || again != text {
			t.Errorf("opened again: %v", err)
		}
		if i == 0 {
			first = text
		}
	}
	if again, err := c.Text(t.Context(), models[0]); err != nil || again == first {
		t.Errorf("it is still in memory: %v", err)
	}
}

func TestTextCanceled(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	m := imported(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Text(ctx, m); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Text(t.Context(), m); err != nil {
		t.Errorf("after a canceled call: %v", err)
	}
}
