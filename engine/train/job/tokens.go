package job

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/covey-network/covey/engine/token"
)

const (
	tokenizerBytes = "bytes" // each byte is a token, and one more ends a text
	bytesEOS       = 256
	bytesVocab     = 257
	bytesEOSText   = "<|endoftext|>"
)

// tokenizer turns text into ids, and is exported with the model.
type tokenizer struct {
	encode func(text string) []int32
	most   int // ids of a text, which is cut to that; 0: no limit
	cut    func(ids []int32, most int) []int32
	vocab  int
	eos    int // -1: none
	end    string
	file   []byte // tokenizer.json
	path   string // of the file, empty if it is of bytes
}

// Encode implements data.Encoder.
func (t *tokenizer) Encode(text string) ([]int, error) {
	ids := t.encode(text)
	if t.most > 0 {
		ids = t.cut(ids, t.most)
	}
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out, nil
}

// byteTokenizer takes each byte as its own id. With start the id that ends texts is put
// before each too: an encoder reads its answer off the first position.
func byteTokenizer(start bool) (*tokenizer, error) {
	file, err := byteTokenizerFile(start)
	if err != nil {
		return nil, err
	}
	encode := func(text string) []int32 {
		ids := make([]int32, 0, len(text)+1)
		if start {
			ids = append(ids, bytesEOS)
		}
		for _, b := range []byte(text) {
			ids = append(ids, int32(b))
		}
		return ids
	}
	cut := func(ids []int32, most int) []int32 { return ids[:min(len(ids), most)] } // nothing is put behind a text
	return &tokenizer{vocab: bytesVocab, eos: bytesEOS, end: bytesEOSText, file: file, encode: encode, cut: cut}, nil
}

// byteTokenizerFile is a tokenizer.json of the same ids: byte-level BPE without merges.
func byteTokenizerFile(start bool) ([]byte, error) {
	type object = map[string]any
	vocab := make(map[string]int, 256)
	for b, r := range byteSpelling() {
		vocab[string(r)] = b
	}
	level := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}
	file := object{
		"version": "1.0", "truncation": nil, "padding": nil, "normalizer": nil, "pre_tokenizer": level, "decoder": level, "post_processor": nil,
		"added_tokens": []object{{"id": bytesEOS, "content": bytesEOSText, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}},
		"model": object{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "vocab": vocab, "merges": []string{},
		},
	}
	if start {
		special := object{"SpecialToken": object{"id": bytesEOSText, "type_id": 0}}
		file["post_processor"] = object{
			"type":           "TemplateProcessing",
			"single":         []object{special, {"Sequence": object{"id": "A", "type_id": 0}}},
			"pair":           []object{special, {"Sequence": object{"id": "A", "type_id": 0}}, {"Sequence": object{"id": "B", "type_id": 1}}},
			"special_tokens": object{bytesEOSText: object{"id": bytesEOSText, "ids": []int{bytesEOS}, "tokens": []string{bytesEOSText}}},
		}
	}
	return json.MarshalIndent(file, "", " ")
}

// byteSpelling returns the character that stands for each byte in byte-level vocabularies:
// itself where it is printable Latin-1, else the next one from U+0100 on (Radford and
// others, "Language models are unsupervised multitask learners", 2019, encoder.py).
func byteSpelling() [256]rune {
	var out [256]rune
	next := rune(256)
	for b := range out {
		r := rune(b)
		if r >= '!' && r <= '~' || r >= 0xa1 && r <= 0xac || r >= 0xae {
			out[b] = r
			continue
		}
		out[b] = next
		next++
	}
	return out
}

// fileTokenizer reads a tokenizer.json. With special it puts the tokens around a text that
// the file says, as encoders want; end is the token after a document, if any.
func fileTokenizer(path string, special bool, end string) (*tokenizer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, token.MaxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := token.FromHF(file)
	if err != nil {
		return nil, fmt.Errorf("tokenizer %s: %w", path, err)
	}
	out := &tokenizer{vocab: t.Size(), eos: -1, file: file, end: end, path: path, cut: t.Cut}
	if end != "" {
		id, ok := t.ID(end)
		if !ok {
			return nil, fmt.Errorf("tokenizer %s has no token %q", path, end)
		}
		out.eos = int(id)
	}
	options := token.Options{AddSpecial: special}
	out.encode = func(text string) []int32 { return t.EncodeOpts(text, options) }
	return out, nil
}

// tokenizer opens the tokenizer of the job's text, nil if it has none.
func (j *Job) tokenizer() (t *tokenizer, err error) {
	switch d := &j.Data; {
	case d.Text != nil && d.Text.bytes():
		return byteTokenizer(false)
	case d.Text != nil:
		return fileTokenizer(j.path(d.Text.Tokenizer), false, d.Text.EOS)
	case d.CSV == nil || !d.CSV.text():
		return nil, nil
	case d.CSV.bytes():
		t, err = byteTokenizer(true)
	default:
		t, err = fileTokenizer(j.path(d.CSV.Tokenizer), true, "")
	}
	if err == nil {
		t.most = j.Data.CSV.Length
	}
	return t, err
}
