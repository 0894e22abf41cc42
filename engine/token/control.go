package token

import (
	"regexp"
	"strings"
)

// controlShape is how control tokens look that files call ordinary additions: ends and
// roles in bars or brackets, the names of SentencePiece and BERT, what stands around turns
// and holes in code. Tags that models write in an answer, such as <think> and <tool_call>,
// and additions that are words or blanks are text. Examples are phi-3's </s>, DeepSeek's
// <｜User｜> and Command R's <|USER_TOKEN|>.
var controlShape = regexp.MustCompile(`^(?:` + strings.Join([]string{
	`<[|｜].+>`, `<.+[|｜]>`,
	`</?(?:s|pad|unk|bos|eos|eot|eod|eop|cls|sep|mask)>`,
	`_?<[A-Z][A-Z0-9_]{2,}>`,
	`\[/?[A-Z][A-Z0-9_]{2,}\]`,
	`<</?SYS>>`,
	`<(?:start|begin|end)_of_[a-z]+>`,
	`<fim_[a-z]+>`,
}, "|") + `)$`)

// controlLike reports whether an added token is a control token by its look.
func controlLike(content string) bool { return controlShape.MatchString(content) }

// reserves reports whether an end of the model's texts that no list of added tokens has is
// one that can be told from text: a name of some characters and not, say, a line break.
func (t *Tokenizer) reserves(id int32) bool {
	if id < 0 || int(id) >= len(t.tokens) || t.special[id] || len(t.tokens[id]) < 3 {
		return false
	}
	return !strings.ContainsFunc(t.tokens[id], func(r rune) bool { return r <= ' ' || r > '~' })
}
