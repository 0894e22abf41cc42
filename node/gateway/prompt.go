package gateway

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/covey-network/covey/engine/chat"
	"github.com/covey-network/covey/engine/token"
)

// message is one turn of a chat request. Content is a text, or a list of text parts.
type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// maxMessages bounds the messages of a request, and the parts of one.
const maxMessages = 1 << 14

func readMessages(raw json.RawMessage) (out []message, err error) {
	if kind := kindOf(raw); kind != kindList && kind != kindNull && kind != "" {
		return nil, badRequest("messages", "messages is %s, want a list", kind)
	}
	err = elements(raw, func(i int, element []byte) error {
		if i == maxMessages {
			return badRequest("messages", "more than %d messages", maxMessages)
		}
		at := fmt.Sprintf("messages.[%d]", i)
		if kind := kindOf(element); kind != kindObject {
			return badRequest(at, "%s is %s, want an object", at, kind)
		}
		out = append(out, message{})
		return unmarshal(at, element, &out[i])
	})
	if err == nil && len(out) == 0 {
		err = badRequest("messages", "messages is missing or empty")
	}
	return out, err
}

// roles are those that a message may have.
var roles = []string{"system", "developer", "user", "assistant", "tool"}

// text returns the content; other parts than text are refused, not dropped. An assistant's
// message may have none.
func (m *message) text(i int) (string, error) {
	param := fmt.Sprintf("messages.[%d].content", i)
	switch kind := kindOf(m.Content); {
	case kind == kindText:
		return readText(m.Content)
	case kind == kindList:
		return m.parts(param)
	case kind != "" && kind != kindNull:
		return "", badRequest(param, "content is %s, want a text or a list of text parts", kind)
	case m.Role != "assistant":
		return "", badRequest(param, "message %d has no content", i)
	}
	return "", nil
}

// parts joins the text parts of the content.
func (m *message) parts(param string) (string, error) {
	var out strings.Builder
	err := elements(m.Content, func(i int, element []byte) error {
		if i == maxMessages {
			return badRequest(param, "content has more than %d parts", maxMessages)
		}
		var p struct {
			Type string  `json:"type"`
			Text *string `json:"text"`
		}
		if kindOf(element) != kindObject || json.Unmarshal(element, &p) != nil {
			return badRequest(param, "content part %d is not an object with type and text", i)
		}
		if p.Type != "text" {
			return badRequest(param, "content parts of type %.40q are not supported, only text", p.Type)
		}
		if p.Text == nil {
			return badRequest(param, "content part %d has no text", i)
		}
		out.WriteString(*p.Text)
		return nil
	})
	return out.String(), err
}

// The marks that stand for a text in a template's output. They are private-use characters
// around a number, and a request that holds one is refused.
const markOpen, markClose = "\uF8F0", "\uF8F1"

// chatPrompt renders messages with the model's template and encodes the result. Special
// tokens come from the template only: what a message says is text, whatever it says.
func chatPrompt(m *Model, messages []message, now func() time.Time) ([]int32, error) {
	if m.Template == nil {
		return nil, badRequest("model", "model %s has no chat template: use /v1/completions", m.Name)
	}
	in := chat.Input{AddGenerationPrompt: true, BOS: m.BOS, EOS: m.EOS, Now: now}
	var marked []string
	for i := range messages {
		if !slices.Contains(roles, messages[i].Role) {
			param := fmt.Sprintf("messages.[%d].role", i)
			if messages[i].Role == "" {
				return nil, badRequest(param, "message %d has no role, want one of %s", i, strings.Join(roles, ", "))
			}
			return nil, badRequest(param, "message %d has the role %.40q, want one of %s", i, messages[i].Role, strings.Join(roles, ", "))
		}
		text, err := messages[i].text(i)
		if err != nil {
			return nil, err
		}
		if messages[i].Role == "developer" { // OpenAI's newer name; templates know the older
			messages[i].Role = "system"
		}
		if strings.Contains(text, markOpen) {
			return nil, badRequest("messages", "message %d holds characters that are reserved", i)
		}
		if m.Tokenizer.HasSpecial(text) {
			// The template may trim the text, so blanks stay outside of the mark.
			core := strings.TrimFunc(text, unicode.IsSpace)
			at := strings.Index(text, core)
			text = text[:at] + fmt.Sprintf("%s%d%s", markOpen, len(marked), markClose) + text[at+len(core):]
			marked = append(marked, core)
		}
		in.Messages = append(in.Messages, chat.Message(messages[i].Role, text))
	}
	text, err := m.Template.Render(in)
	if err != nil {
		return nil, badRequest("messages", "the model's chat template refuses: %v", err)
	}
	text, spans := unmark(text, marked)
	ids := m.Tokenizer.EncodeOpts(text, token.Options{ParseSpecial: true, Literal: spans})
	if err := m.knows(ids); err != nil {
		return nil, badRequest("messages", "%v", err)
	}
	return ids, nil
}

// unmark puts the marked texts back and tells where they stand.
func unmark(text string, marked []string) (string, []token.Span) {
	var out strings.Builder
	var spans []token.Span
	for {
		before, rest, found := strings.Cut(text, markOpen)
		out.WriteString(before)
		if !found {
			return out.String(), spans
		}
		number, after, _ := strings.Cut(rest, markClose)
		var i int
		if _, err := fmt.Sscan(number, &i); err == nil && i >= 0 && i < len(marked) {
			spans = append(spans, token.Span{Start: out.Len(), End: out.Len() + len(marked[i])})
			out.WriteString(marked[i])
		}
		text = after
	}
}
