package job

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/covey-network/covey/engine/train/data"
)

// Limits of a Schema.
const (
	MaxSchemaBytes = 512 << 10 // as JSON
	maxClasses     = 1 << 16
	maxNameBytes   = 1 << 10 // of a column, a category or a class
	maxVocab       = 1 << 24
)

// Schema is what data decides about a model: which outputs there are, and what each input
// means. Runs with the same Schema have models of the same shape and meaning, whatever data
// each has. It says nothing of single samples but the names of categories, and means and
// deviations of columns.
type Schema struct {
	// Image is channels, height and width of images, Classes are the folders of images, in the
	// order of the outputs.
	Image   []int    `json:"image,omitempty"`
	Classes []string `json:"classes,omitempty"`

	// Columns are the inputs of a table, in their order: numbers and categories, or one text.
	// Target is the column that is predicted: a number, or a category with its classes in the
	// order of the outputs. Format is how the table was written from which they are.
	Columns []InputColumn `json:"columns,omitempty"`
	Target  *InputColumn  `json:"target,omitempty"`
	Format  *data.Format  `json:"format,omitempty"`

	// Tokenizer and Length, in tokens, are of text.
	Tokenizer *Tokenizer `json:"tokenizer,omitempty"`
	Length    int        `json:"length,omitempty"`
}

// Tokenizer tells one tokenizer from another.
type Tokenizer struct {
	Kind   string `json:"kind"`             // bytes or file
	Vocab  int    `json:"vocab"`            // tokens
	SHA256 string `json:"sha256,omitempty"` // of the tokenizer.json, in hex
	EOS    string `json:"eos,omitempty"`    // token after a document of a text
}

// tokenizerFile is Tokenizer.Kind of those that are not bytes.
const tokenizerFile = "file"

// Inspect opens the data of a job and returns its Schema. Of a table it reads all rows; means
// and deviations are those of the rows for training, as a run of the job has them.
func Inspect(ctx context.Context, j *Job) (*Schema, error) {
	endless := j.Train.Epochs == 0 && j.Train.Steps == 0 // else it may be inspected to be trained alone
	if err := j.validate(endless); err != nil {
		return nil, err
	}
	d, err := j.open(ctx, func(data.Bad) {}, openOptions{inspect: true})
	if err != nil {
		return nil, err
	}
	s := d.is(j)
	if text, err := json.Marshal(s); err != nil {
		return nil, err
	} else if len(text) > MaxSchemaBytes {
		return nil, fmt.Errorf("schema of the data: %d bytes, at most %d: leave out columns with many categories", len(text), MaxSchemaBytes)
	}
	return s, s.Validate()
}

// ParseSchema reads a Schema from JSON and checks it. The bytes may be from anybody.
func ParseSchema(text []byte) (*Schema, error) {
	if len(text) > MaxSchemaBytes {
		return nil, fmt.Errorf("schema: %d bytes, at most %d", len(text), MaxSchemaBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	s := &Schema{}
	if err := dec.Decode(s); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	if dec.More() {
		return nil, errors.New("schema: there is more behind it")
	}
	return s, s.Validate()
}

// Validate reports what no data could have decided.
func (s *Schema) Validate() error {
	var err error
	switch {
	case s.Image != nil && s.Target == nil && s.Tokenizer == nil:
		err = s.checkImages()
	case s.Image == nil && s.Target != nil:
		err = s.checkTable()
	case s.Image == nil && s.Tokenizer != nil:
		err = s.checkText()
	default:
		err = errors.New("want one of image, target and tokenizer")
	}
	if err != nil {
		return fmt.Errorf("schema: %w", err)
	}
	return nil
}

func (s *Schema) checkImages() error {
	if len(s.Image) != 3 || s.Image[0] != 1 && s.Image[0] != 3 || min(s.Image[1], s.Image[2]) < 1 || max(s.Image[1], s.Image[2]) > maxSide {
		return fmt.Errorf("image is %.3d, want channels (1 or 3), height and width (1 to %d each)", s.Image, maxSide)
	}
	if s.Columns != nil || s.Format != nil || s.Length != 0 {
		return errors.New("columns, format and length are not of images")
	}
	if n := len(s.Classes); n < 2 || n > maxClasses {
		return fmt.Errorf("%d classes, want 2 to %d", n, maxClasses)
	}
	seen := make(map[string]bool, len(s.Classes))
	for _, c := range s.Classes {
		if err := checkName(c); err != nil {
			return fmt.Errorf("class %.40q: %w", c, err)
		}
		if strings.ContainsAny(c, `/\`) || strings.HasPrefix(c, ".") {
			return fmt.Errorf("class %.40q: is not the name of a folder of images", c)
		}
		if seen[c] {
			return fmt.Errorf("class %.40q: is there twice", c)
		}
		seen[c] = true
	}
	return nil
}

// checkName refuses what is no name of anything.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > maxNameBytes:
		return fmt.Errorf("the name has %d bytes, at most %d", len(name), maxNameBytes)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("the name has control characters, or is not UTF-8")
	}
	return nil
}

func (s *Schema) checkTable() error {
	if s.Classes != nil || s.Format == nil {
		return errors.New("a table has a format, and its classes are the categories of target")
	}
	target, err := s.Target.column()
	if err == nil {
		err = checkName(s.Target.Name)
	}
	if err == nil {
		_, err = data.NewRows([]data.Column{target}, false, *s.Format)
	}
	if err == nil && target.Kind == data.Category && len(target.Categories) < 2 {
		err = errors.New("has less than two classes")
	}
	for _, c := range target.Categories {
		if err == nil {
			err = checkName(c)
		}
	}
	if err != nil {
		return fmt.Errorf("target %.40q: %w", s.Target.Name, err)
	}
	var inputs []data.Column
	text := false
	for i := range s.Columns {
		c, err := s.Columns[i].column()
		if err != nil {
			return err
		}
		if text = text || c.Kind == data.Sentence; c.Name == target.Name || len(c.Name) > maxNameBytes || !utf8.ValidString(c.Name) {
			return fmt.Errorf("column %.40q: its name is that of the target, or too long, or not UTF-8", c.Name)
		}
		inputs = append(inputs, c)
	}
	if text {
		if len(inputs) != 1 || len(inputs[0].Categories) > 0 || inputs[0].Mean != 0 || inputs[0].Std != 0 || inputs[0].Notation != (data.Notation{}) || target.Kind != data.Category {
			return errors.New("a column of text is the only input, has nothing but a name, and is sorted into classes")
		}
		return s.checkTokens()
	}
	if s.Tokenizer != nil || s.Length != 0 {
		return errors.New("tokenizer and length are of a column of text")
	}
	_, err = data.NewRows(inputs, false, *s.Format)
	return err
}

func (s *Schema) checkText() error {
	if s.Classes != nil || s.Columns != nil || s.Format != nil {
		return errors.New("classes, columns and format are not of text")
	}
	return s.checkTokens()
}

func (s *Schema) checkTokens() error {
	t := s.Tokenizer
	if t == nil || s.Length < 1 || s.Length > 1<<24 {
		return fmt.Errorf("text needs a tokenizer and a length of 1 to %d, has %d", 1<<24, s.Length)
	}
	_, err := hex.DecodeString(t.SHA256)
	switch {
	case len(t.EOS) > maxNameBytes || !utf8.ValidString(t.EOS):
		return errors.New("tokenizer: eos is too long, or not UTF-8")
	case t.Kind == tokenizerBytes && t.Vocab == bytesVocab && t.SHA256 == "" && t.EOS == "":
		return nil
	case t.Kind == tokenizerFile && t.Vocab >= 1 && t.Vocab <= maxVocab && err == nil && len(t.SHA256) == 2*sha256.Size && strings.ToLower(t.SHA256) == t.SHA256:
		return nil
	}
	return fmt.Errorf("tokenizer %.20q of %d tokens with a hash of %d characters: want bytes of %d, or file", t.Kind, t.Vocab, len(t.SHA256), bytesVocab)
}

// column returns a column as the data takes it.
func (c *InputColumn) column() (data.Column, error) {
	kind, err := data.ParseKind(c.Kind)
	if err != nil || kind == data.Auto || kind == data.Ignore {
		return data.Column{}, fmt.Errorf("column %.40q: kind is %.20q, want number, category or text", c.Name, c.Kind)
	}
	return data.Column{Name: c.Name, Kind: kind, Categories: c.Categories, Mean: c.Mean, Std: c.Std, Notation: c.Notation}, nil
}

// inputColumn is the other way.
func inputColumn(c data.Column) InputColumn {
	return InputColumn{Name: c.Name, Kind: c.Kind.String(), Categories: c.Categories, Mean: c.Mean, Std: c.Std, Notation: c.Notation}
}

// columns returns all columns, the target last.
func (s *Schema) columns() []data.Column {
	var out []data.Column
	for _, c := range append(slices.Clone(s.Columns), *s.Target) {
		col, _ := c.column() // Validate has asked
		out = append(out, col)
	}
	return out
}

// is returns the schema of open data: that it was given, or what it decided itself.
func (d *dataset) is(j *Job) *Schema {
	if d.given != nil {
		return d.given
	}
	s := &Schema{}
	if t := d.tokenizer; t != nil {
		s.Tokenizer = t.identity()
	}
	switch {
	case j.Data.Images != nil:
		s.Image, s.Classes = j.known().image, d.train.Shape().Classes
	case j.Data.Text != nil:
		s.Length = j.Data.Text.Length
	default:
		s.Length = j.Data.CSV.Length
		target := inputColumn(d.target)
		format := d.format
		s.Target, s.Format = &target, &format
		for _, c := range d.columns {
			if c.Name != d.target.Name && c.Kind != data.Ignore {
				s.Columns = append(s.Columns, inputColumn(c))
			}
		}
	}
	return s
}

// identity tells a tokenizer from another.
func (t *tokenizer) identity() *Tokenizer {
	if t.path == "" {
		return &Tokenizer{Kind: tokenizerBytes, Vocab: t.vocab}
	}
	sum := sha256.Sum256(t.file)
	return &Tokenizer{Kind: tokenizerFile, Vocab: t.vocab, SHA256: hex.EncodeToString(sum[:]), EOS: t.end}
}

// fits reports what of a job cannot go with a schema, whatever its data is.
func (s *Schema) fits(j *Job, t *tokenizer) error {
	c := &check{job: j}
	kind := func(key string, has bool) bool {
		if !has {
			c.add(key, "is not what the shared model learns from: take a job of the same kind of data")
		}
		return has
	}
	length := func(key string, own int) {
		if own != s.Length {
			c.add(key, "is %d, and %d for the shared model: set that", own, s.Length)
		}
	}
	tokens := func(key string) {
		switch own := t.identity(); {
		case own.Kind != s.Tokenizer.Kind:
			c.add(key, "is %s, and %s for the shared model: take the same", own.Kind, s.Tokenizer.Kind)
		case own.SHA256 != s.Tokenizer.SHA256 || own.Vocab != s.Tokenizer.Vocab:
			c.add(key, "%s is another file (SHA-256 %.12s, %d tokens) than that of the shared model (%.12s, %d tokens): take a copy of that one", t.path, own.SHA256, own.Vocab, s.Tokenizer.SHA256, s.Tokenizer.Vocab)
		case own.EOS != s.Tokenizer.EOS:
			c.add(strings.TrimSuffix(key, "tokenizer")+"eos", "is %.40q, and %.40q for the shared model: set that", own.EOS, s.Tokenizer.EOS)
		}
	}
	switch d := &j.Data; {
	case d.Images != nil:
		if own := j.known().image; kind("data.images", s.Image != nil) && !slices.Equal(own, s.Image) {
			c.add("data.images.size", "makes images of %d channels, height %d, width %d, and the shared model takes %d, %d, %d: set size and gray so", own[0], own[1], own[2], s.Image[0], s.Image[1], s.Image[2])
		}
	case d.Text != nil:
		if kind("data.text", s.Image == nil && s.Target == nil) {
			length("data.text.length", d.Text.Length)
			tokens("data.text.tokenizer")
		}
	case kind("data.csv", s.Target != nil):
		if d.CSV.Label != s.Target.Name || j.labelKind().String() != s.Target.Kind {
			c.add("data.csv.label", "is %.40q, a %v, and the shared model predicts %.40q, a %s: set label and model.mlp.regression so", d.CSV.Label, j.labelKind(), s.Target.Name, s.Target.Kind)
		}
		if d.CSV.text() != (s.Tokenizer != nil) {
			c.add("data.csv.columns", "has a column of text: %v, the shared model: %v", d.CSV.text(), s.Tokenizer != nil)
		} else if s.Tokenizer != nil {
			length("data.csv.length", d.CSV.Length)
			tokens("data.csv.tokenizer")
		}
	}
	return errors.Join(c.errs...)
}
