package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/chat"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/token"
	"github.com/covey-network/covey/engine/train/data"
)

// maxTexts is how many tokenizers stay in memory: one takes some tens of MB.
const maxTexts = 8

// Text is what turns text into a model's tokens, or pictures or rows into its input. It is
// safe for concurrent use.
type Text struct {
	Tokenizer *token.Tokenizer // nil for a model of images or tables
	Template  *chat.Template   // nil if the model has none, or TemplateErr tells why not
	// TemplateErr is why the model's template cannot be used. Text without a template can.
	TemplateErr error
	Pictures    *Pictures  // of an image model, else nil
	Rows        *data.Rows // of a model of tables, else nil
}

// texts are the tokenizers in memory. Catalog.mu guards them.
type texts struct {
	entries map[cid.Cid]*textEntry
	clock   uint64
}

// textEntry is a tokenizer. Whoever has put something into sem may read or set text.
type textEntry struct {
	sem  chan struct{} // of size 1: a lock that waits for a context too
	text *Text
	used uint64 // by the clock
}

// entry returns the entry of a model, and evicts the one that was not used for longest.
func (t *texts) entry(id cid.Cid) *textEntry {
	e := t.entries[id]
	if e == nil {
		if len(t.entries) >= maxTexts {
			var oldest cid.Cid
			for other, e := range t.entries {
				if !oldest.Defined() || e.used < t.entries[oldest].used {
					oldest = other
				}
			}
			delete(t.entries, oldest)
		}
		e = &textEntry{sem: make(chan struct{}, 1)}
		t.entries[id] = e
	}
	t.clock++
	e.used = t.clock
	return e
}

func (t *texts) forget(which func(cid.Cid) bool) {
	for id := range t.entries {
		if which(id) {
			delete(t.entries, id)
		}
	}
}

// Text returns the tokenizer and the template of a model. Blocks that are missing or
// damaged are fetched. The latest few stay in memory.
func (c *Catalog) Text(ctx context.Context, m *Model) (*Text, error) {
	c.mu.Lock()
	e := c.texts.entry(m.CID)
	c.mu.Unlock()
	select {
	case e.sem <- struct{}{}:
		defer func() { <-e.sem }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if e.text != nil {
		return e.text, nil
	}
	t, err := c.readText(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("open tokenizer or input pipeline of model %s: %w", m.CID, err)
	}
	e.text = t
	return t, nil
}

func (c *Catalog) readText(ctx context.Context, m *Model) (*Text, error) {
	blob := m.Manifest.Tokenizer
	switch {
	case m.Config.Vision != nil:
		p, err := newPictures(m.Config, c.pictures)
		return &Text{Pictures: p}, err
	case m.Config.MLP != nil:
		rows, err := m.Config.MLP.Rows()
		return &Text{Rows: rows}, err
	}
	if blob.Kind == "" {
		return nil, errors.New("it has none")
	}
	file, err := c.read(ctx, m.CID, blob.Bytes, blob.Blocks)
	if err != nil {
		return nil, err
	}
	return newText(model.TokenizerSpec{Kind: blob.Kind, Data: file}, m.Manifest.ChatTemplate, m.Config.Vocab(), m.Manifest.EOSIDs)
}

// Chats reports whether the model has a chat template that can be used.
func (m *Model) Chats() bool {
	if m.Manifest.ChatTemplate == "" {
		return false
	}
	_, err := chat.Parse(m.Manifest.ChatTemplate)
	return err == nil
}

// newText parses a tokenizer, which must have about as many entries as the model has
// tokens, and a template. The ends are the tokens that end a text.
func newText(spec model.TokenizerSpec, template string, vocab int, ends []int32) (*Text, error) {
	// A token has up to five entries in the lists of a vocabulary. What has far more of
	// them would only take memory: parsed, a short entry takes ten times its bytes.
	if n := bytes.Count(spec.Data, []byte{','}); n > 1<<16+16*vocab {
		return nil, fmt.Errorf("it has about %d entries for %d tokens", n, vocab)
	}
	t := &Text{}
	var err error
	switch spec.Kind {
	case model.TokenizerHF:
		t.Tokenizer, err = token.FromHF(spec.Data, ends...)
	case model.TokenizerGGUF:
		var v token.Vocab
		if err = json.Unmarshal(spec.Data, &v); err == nil {
			t.Tokenizer, err = token.FromVocab(v, ends...)
		}
	default:
		err = fmt.Errorf("its kind %.40q is not one of %s, %s", spec.Kind, model.TokenizerHF, model.TokenizerGGUF)
	}
	if err != nil {
		return nil, err
	}
	if template != "" {
		t.Template, t.TemplateErr = chat.Parse(template)
	}
	return t, nil
}
