package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// inputs reads what a request gives a model to read: a text, a list of texts, a list of
// token ids, or a list of such lists.
type inputs struct {
	model *Model
	param string // the name of the field
	most  int    // lists of tokens in a request
	blank bool   // empty texts are taken
}

// read returns the tokens of each input. Ids are taken as they are, so whoever sends them
// sends the special tokens too; to a text the tokenizer adds them.
func (in *inputs) read(raw json.RawMessage) ([][]int32, error) {
	switch kindOf(raw) {
	case "", kindNull:
		return nil, badRequest(in.param, "%s is missing", in.param)
	case kindText:
		ids, err := in.text(in.param, raw)
		return [][]int32{ids}, err
	case kindList:
		return in.list(raw)
	}
	return nil, badRequest(in.param, "%s is %s, want a text, token ids, or a list of these", in.param, kindOf(raw))
}

func (in *inputs) list(raw []byte) ([][]int32, error) {
	var out [][]int32
	first := ""
	err := elements(raw, func(i int, element []byte) error {
		at := fmt.Sprintf("%s.[%d]", in.param, i)
		kind := kindOf(element)
		if first == "" {
			first = kind
		}
		switch {
		case kind != kindText && kind != kindNumber && kind != kindList:
			return badRequest(in.param, "%s is %s, want a text, token ids, or a list of these", at, kind)
		case kind != first:
			return badRequest(in.param, "%s is %s, %s.[0] is %s: a list has one kind of inputs", at, kind, in.param, first)
		case kind == kindNumber:
			return errOneList
		case i == in.most:
			return badRequest(in.param, "%s has more than %d inputs", in.param, in.most)
		}
		read := in.text
		if kind == kindList {
			read = in.ids
		}
		ids, err := read(at, element)
		out = append(out, ids)
		return err
	})
	if errors.Is(err, errOneList) {
		ids, err := in.ids(in.param, raw)
		return [][]int32{ids}, err
	}
	if err == nil && len(out) == 0 {
		err = badRequest(in.param, "%s is an empty list", in.param)
	}
	return out, err
}

// errOneList ends the look at a list that turns out to be one of token ids.
var errOneList = errors.New("a list of token ids")

func (in *inputs) text(at string, raw []byte) ([]int32, error) {
	s, err := readText(raw)
	if err != nil {
		return nil, badRequest(in.param, "%s: %v", at, err)
	}
	if s == "" && !in.blank {
		return nil, badRequest(in.param, "%s is an empty text", at)
	}
	// Special tokens in a raw prompt count: whoever writes one writes the whole text.
	ids := in.model.Tokenizer.Encode(s, true)
	if err := in.model.knows(ids); err != nil {
		return nil, badRequest(in.param, "%s: %v", at, err)
	}
	return ids, nil
}

// vocab returns how many token ids a request may use: those that both the tokenizer and the model
// have. Either may have more than the other.
func (m *Model) vocab() int { return min(m.Tokenizer.Size(), m.Shape.Vocab) }

// knows reports a token of a text that the tokenizer has and the model has not.
func (m *Model) knows(ids []int32) error {
	for _, id := range ids {
		if int(id) >= m.Shape.Vocab {
			return fmt.Errorf("the text has the token %.40q (%d), which the model does not have: it has tokens from 0 to %d", m.Tokenizer.Token(id), id, m.Shape.Vocab-1)
		}
	}
	return nil
}

func (in *inputs) ids(at string, raw []byte) ([]int32, error) {
	ids := make([]int32, 0, bytes.Count(raw, []byte{','})+1)
	size := in.model.vocab()
	err := elements(raw, func(i int, element []byte) error {
		if kind := kindOf(element); kind != kindNumber {
			return badRequest(in.param, "%s.[%d] is %s, want a token id", at, i, kind)
		}
		id, err := readWhole(element)
		if err != nil {
			return badRequest(in.param, "%s.[%d] is %.40s, want a token id: a whole number", at, i, element)
		}
		if id < 0 || id >= int64(size) {
			return badRequest(in.param, "%s.[%d] is token %.40s, which is not in the vocabulary: it has ids from 0 to %d", at, i, element, size-1)
		}
		ids = append(ids, int32(id))
		return nil
	})
	if err == nil && len(ids) == 0 {
		err = badRequest(in.param, "%s is an empty list", at)
	}
	return ids, err
}
