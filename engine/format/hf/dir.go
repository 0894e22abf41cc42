package hf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/format/safetensors"
)

// MaxTokenizer bounds tokenizer.json: protocol.MaxTokenizer and token.MaxFileBytes are the
// same.
const MaxTokenizer = 96 << 20

// ErrNoConfig tells of a directory that does not say what model it is.
var ErrNoConfig = errors.New("config.json is missing")

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
	Config           []byte // config.json
	Tokenizer        []byte // tokenizer.json, nil if absent: models of images have none
	TokenizerConfig  []byte // tokenizer_config.json, nil if absent
	GenerationConfig []byte // generation_config.json, nil if absent
	ChatTemplate     string // "" if there is none
	License          string // as README.md names it, "" if it does not
	Sentence         *Sentence
	Tensors          []safetensors.TensorInfo

	set *safetensors.Set
}

// Sentence is how sentence-transformers makes embeddings with the model.
type Sentence struct {
	CLS       bool // the first token's vector; else the mean of all
	MaxTokens int  // longest text, 0 if not told
	Normalize bool // to length 1
}

// Open opens a directory and reads everything but the tensors.
func Open(path string) (_ *Dir, err error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open model directory: %w", err)
	}
	defer root.Close()
	d := &Dir{}
	if err := d.read(root); err != nil {
		return nil, fmt.Errorf("open model directory %q: %w", path, err)
	}
	if d.set, err = openTensors(root); err != nil {
		return nil, fmt.Errorf("open model directory %q: %w", path, err)
	}
	d.Tensors = d.set.Tensors
	return d, nil
}

// Section returns a reader of the bytes of tensor i.
func (d *Dir) Section(i int) *io.SectionReader { return d.set.Section(i) }

// Close closes the tensors' files.
func (d *Dir) Close() error { return d.set.Close() }

func (d *Dir) read(root *os.Root) error {
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
		data, err := readFile(root, f.name, f.most)
		if errors.Is(err, fs.ErrNotExist) && !f.must {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) {
			return ErrNoConfig
		}
		if err != nil {
			return err
		}
		*f.dst = data
	}
	if err := d.readTemplate(root); err != nil {
		return err
	}
	d.License = readLicense(root)
	return d.readSentence(root)
}

// readTemplate looks for the chat template in its own file, then in the tokenizer's
// configuration: a text, or a list of named ones of which "default" counts.
func (d *Dir) readTemplate(root *os.Root) error {
	data, err := readFile(root, "chat_template.jinja", maxTemplate)
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
func (d *Dir) readSentence(root *os.Root) error {
	data, err := readFile(root, "modules.json", maxConfig)
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
			if err := s.readPooling(root, m.Path); err != nil {
				return err
			}
		case "Normalize":
			s.Normalize = true
		default:
			return fmt.Errorf("modules.json: module %.80q is not supported: want Transformer, Pooling, Normalize", m.Type)
		}
	}
	data, err = readFile(root, "sentence_bert_config.json", maxConfig)
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

func (s *Sentence) readPooling(root *os.Root, folder string) error {
	name := folder + "/config.json"
	data, err := readFile(root, name, maxConfig)
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
func openTensors(root *os.Root) (*safetensors.Set, error) {
	index, err := readFile(root, "model.safetensors.index.json", maxIndex)
	if err == nil {
		return safetensors.OpenIndex(root, index)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if _, err := root.Stat("model.safetensors"); err == nil {
		return safetensors.OpenFiles(root, []string{"model.safetensors"})
	}
	files, err := fs.Glob(root.FS(), "*.safetensors")
	if err != nil {
		return nil, err
	}
	if len(files) != 1 {
		return nil, fmt.Errorf("want model.safetensors or an index: found %d safetensors files (weights in other formats, such as .bin, are not read: they can hold code)", len(files))
	}
	return safetensors.OpenFiles(root, files)
}

// readFile reads a whole file of at most a number of bytes.
func readFile(root *os.Root, name string, most int64) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("read %q: more than %d bytes", name, most)
	}
	return data, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
