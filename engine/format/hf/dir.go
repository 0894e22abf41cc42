package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/format/folder"
	"github.com/covey-network/covey/engine/format/safetensors"
)

// MaxTokenizer bounds tokenizer.json: protocol.MaxTokenizer and token.MaxFileBytes are the
// same.
const MaxTokenizer = 96 << 20

// ErrNoConfig tells of a directory that does not say what model it is.
var ErrNoConfig = fmt.Errorf("the folder has no config.json (%w)", fs.ErrNotExist)

// Limits of the other files that are read whole.
const (
	maxConfig   = 1 << 20
	maxTemplate = 1 << 20
	maxIndex    = 16 << 20
	maxCard     = 64 << 10 // of README.md, where the model card's metadata is at the start
	maxLicense  = 64
)

// Dir is an open model directory.
type Dir struct {
	Name             string // of the directory; in a Hugging Face cache of the repository
	Config           []byte // config.json
	Tokenizer        []byte // tokenizer.json, nil if absent: models of images have none
	TokenizerConfig  []byte // tokenizer_config.json, nil if absent
	GenerationConfig []byte // generation_config.json, nil if absent
	ChatTemplate     string // "" if there is none
	License          string // as README.md names it, "" if it does not
	Sentence         *Sentence
	Tensors          []safetensors.TensorInfo

	set         *safetensors.Set
	noTokenizer string // what to do about it if it is missing
}

// Sentence is how sentence-transformers makes embeddings with the model.
type Sentence struct {
	CLS       bool // the first token's vector; else the mean of all
	MaxTokens int  // longest text, 0 if not told
	Normalize bool // to length 1
}

// Open opens a directory and reads everything but the tensors.
func Open(path string) (_ *Dir, err error) {
	in, err := folder.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open model directory: %w", err)
	}
	defer in.Close()
	d := &Dir{Name: in.Name()}
	if err := d.read(in); err != nil {
		return nil, fmt.Errorf("open model directory %q: %w", path, err)
	}
	if d.set, err = openTensors(in); errors.Is(err, safetensors.ErrTruncated) {
		err = fmt.Errorf("%w; %s", err, downloadAgain(in))
	}
	if err != nil {
		return nil, fmt.Errorf("open model directory %q: %w", path, err)
	}
	d.Tensors = d.set.Tensors
	return d, nil
}

// Section returns a reader of the bytes of tensor i.
func (d *Dir) Section(i int) *io.SectionReader { return d.set.Section(i) }

// NoTokenizer is the error of a model that needs a tokenizer where Tokenizer is nil.
func (d *Dir) NoTokenizer() error {
	return errors.New("tokenizer.json is missing: " + d.noTokenizer)
}

// Close closes the tensors' files.
func (d *Dir) Close() error { return d.set.Close() }

func (d *Dir) read(in *folder.Folder) error {
	for _, f := range []struct {
		name string
		dst  *[]byte
		most int64
		must bool
	}{
		{"config.json", &d.Config, maxConfig, true},
		{"tokenizer.json", &d.Tokenizer, MaxTokenizer, false},
		{"tokenizer_config.json", &d.TokenizerConfig, MaxTokenizer, false},
		{"generation_config.json", &d.GenerationConfig, maxConfig, false},
	} {
		data, err := in.Read(f.name, f.most)
		if errors.Is(err, fs.ErrNotExist) && !f.must {
			if f.dst == &d.Tokenizer {
				d.noTokenizer = fetchTokenizer(in)
			}
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			return noConfig(in)
		}
		if err != nil {
			return err
		}
		*f.dst = data
	}
	if err := d.readTemplate(in); err != nil {
		return err
	}
	d.License = readLicense(in)
	return d.readSentence(in)
}

// readTemplate looks for the chat template in its own file, then in the tokenizer's
// configuration: a text, or a list of named ones of which "default" counts.
func (d *Dir) readTemplate(in *folder.Folder) error {
	data, err := in.Read("chat_template.jinja", maxTemplate)
	if err == nil {
		d.ChatTemplate = string(data)
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) || d.TokenizerConfig == nil {
		return ignoreMissing(err)
	}
	var cfg struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(d.TokenizerConfig, &cfg); err != nil {
		return fmt.Errorf("parse tokenizer_config.json: %w", err)
	}
	if len(cfg.Template) == 0 || string(cfg.Template) == "null" {
		return nil
	}
	if json.Unmarshal(cfg.Template, &d.ChatTemplate) == nil {
		return nil
	}
	var named []struct{ Name, Template string }
	if err := json.Unmarshal(cfg.Template, &named); err != nil {
		return fmt.Errorf("parse tokenizer_config.json: chat_template: %w", err)
	}
	for _, t := range named {
		if t.Name == "default" {
			d.ChatTemplate = t.Template
		}
	}
	return nil
}

// readSentence reads the files of sentence-transformers, if modules.json is there.
func (d *Dir) readSentence(in *folder.Folder) error {
	data, err := in.Read("modules.json", maxConfig)
	if err != nil {
		return ignoreMissing(err)
	}
	var modules []struct{ Path, Type string }
	if err := json.Unmarshal(data, &modules); err != nil {
		return fmt.Errorf("parse modules.json: %w", err)
	}
	s := &Sentence{}
	for _, m := range modules {
		switch kind := m.Type[strings.LastIndexByte(m.Type, '.')+1:]; kind {
		case "Transformer":
		case "Pooling":
			if err := s.readPooling(in, m.Path); err != nil {
				return err
			}
		case "Normalize":
			s.Normalize = true
		default:
			return fmt.Errorf("modules.json: module %.80q is not supported: want Transformer, Pooling, Normalize", m.Type)
		}
	}
	data, err = in.Read("sentence_bert_config.json", maxConfig)
	if err == nil {
		var cfg struct {
			Max int `json:"max_seq_length"`
		}
		if err := json.Unmarshal(data, &cfg); err != nil {
			return fmt.Errorf("parse sentence_bert_config.json: %w", err)
		}
		s.MaxTokens = cfg.Max
	}
	d.Sentence = s
	return ignoreMissing(err)
}

func (s *Sentence) readPooling(in *folder.Folder, folder string) error {
	name := folder + "/config.json"
	data, err := in.Read(name, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return missing(in, name, "modules.json")
	}
	if err != nil {
		return err
	}
	var modes map[string]any
	if err := json.Unmarshal(data, &modes); err != nil {
		return fmt.Errorf("parse %s: %w", name, err)
	}
	var on []string
	for key, v := range modes {
		if b, ok := v.(bool); ok && b && strings.HasPrefix(key, "pooling_mode_") {
			on = append(on, key)
		}
	}
	slices.Sort(on)
	switch strings.Join(on, " ") {
	case "pooling_mode_cls_token":
		s.CLS = true
	case "pooling_mode_mean_tokens":
	default:
		return fmt.Errorf("%s: pooling by %v is not supported: want mean or cls alone", name, on)
	}
	return nil
}

// openTensors opens the files an index names, or model.safetensors, or the only one there.
func openTensors(in *folder.Folder) (*safetensors.Set, error) {
	index, err := in.Read("model.safetensors.index.json", maxIndex)
	if err == nil {
		s, err := safetensors.OpenIndex(in, index)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; %s", err, in.Complete())
		}
		return s, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if in.Has("model.safetensors") {
		return safetensors.OpenFiles(in, []string{"model.safetensors"})
	}
	switch files := in.Glob("*.safetensors"); {
	case len(files) == 0:
		return nil, noWeights(in)
	case len(files) > 1:
		return nil, fmt.Errorf("%d safetensors files, such as %q, and no model.safetensors.index.json that says which of them are the model: download the index too", len(files), files[0])
	default:
		return safetensors.OpenFiles(in, files)
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
