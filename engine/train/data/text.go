package data

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// Encoder turns text into token ids. It is called from several goroutines at once.
type Encoder interface {
	Encode(text string) ([]int, error)
}

// Limits of a [Text] where none are set.
const (
	DefaultMaxTokens        = 1 << 28 // 1 GiB
	DefaultMaxDocumentBytes = 4 << 20
)

// TextConfig says which files become sequences of tokens, and how.
type TextConfig struct {
	// FS holds the files, and Files are patterns of their paths: *, ? and [] within an
	// element, ** for any number of folders.
	FS    fs.FS
	Files []string
	// Separator divides a file into documents: "\n" for one a line. It is no part of them.
	// Empty makes each file one document.
	Separator string
	// Encoding of the files, as ParseEncoding returns it; empty: each file's is found out.
	// EncodingBytes takes them as they are, UTF-8 or not, which Encoder must bear.
	Encoding string
	// Encoder makes the ids, without special tokens around each text.
	Encoder Encoder
	// EOS is the id put after each document; below 0 for none.
	EOS int
	// Length is T: a sample has T+1 tokens, the last T of which are what is to be
	// predicted from those before them.
	Length int
	// MaxTokens bounds all tokens, which are held in memory at 4 bytes each; 0 stands for
	// DefaultMaxTokens. More are an error.
	MaxTokens int
	// MaxDocumentBytes bounds what is encoded at once; 0 stands for
	// DefaultMaxDocumentBytes. A longer document is encoded in parts cut after a line, of
	// which those that are unusable are left out.
	MaxDocumentBytes int
	// Workers is the number of goroutines that encode; 0 stands for one per processor.
	Workers int
}

// Validate reports everything that is wrong with the configuration.
func (c TextConfig) Validate() error {
	var errs []error
	if c.FS == nil || c.Encoder == nil || len(c.Files) == 0 {
		errs = append(errs, errors.New("text: file system, files and encoder are required"))
	}
	if c.Length < 1 || c.Length > 1<<24 {
		errs = append(errs, fmt.Errorf("text: sequences of %d tokens, want 1 to %d", c.Length, 1<<24))
	}
	if c.EOS > math.MaxInt32 || c.MaxTokens < 0 || c.MaxDocumentBytes < 0 || c.Workers < 0 || c.Workers > 1<<10 {
		errs = append(errs, fmt.Errorf("text: eos %d, at most %d tokens, %d bytes a document, %d workers: out of range",
			c.EOS, c.MaxTokens, c.MaxDocumentBytes, c.Workers))
	}
	if c.Encoding != "" && c.Encoding != EncodingUTF16 && charsets[c.Encoding].name == "" {
		errs = append(errs, fmt.Errorf("text: encoding %.40q is not known", c.Encoding))
	}
	return errors.Join(errs...)
}

// blockTokens is the number of tokens in one block of memory: no array has to grow.
const blockTokens = 1 << 20

// Text is a [Dataset] of sequences cut from all documents put one after the other, in the
// order of their paths: sample i is tokens i T to i T + T, so each token but the first is to
// be predicted once, and what does not fill a sequence at the end is left out.
type Text struct {
	cfg       TextConfig
	blocks    [][]int32
	tokens    int
	documents int
	begun     bool           // while loading: there are tokens of a document that has not ended
	encodings map[string]int // files of each
	bad       badList
}

var _ Digester = (*Text)(nil)

// Digest implements [Digester]: the tokens.
func (t *Text) Digest(w io.Writer) {
	for _, b := range t.blocks {
		_ = binary.Write(w, binary.LittleEndian, b)
	}
}

// OpenText reads and encodes the files. Those that cannot be read or are no text, documents
// that are not in the file's encoding and those the encoder refuses are left out, see [Text.Bad].
func OpenText(ctx context.Context, cfg TextConfig) (*Text, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxTokens == 0 {
		cfg.MaxTokens = DefaultMaxTokens
	}
	if cfg.MaxDocumentBytes == 0 {
		cfg.MaxDocumentBytes = DefaultMaxDocumentBytes
	}
	if cfg.Workers == 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	files, err := findFiles(cfg.FS, cfg.Files)
	if err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("text: no file matches %q", cfg.Files)
	}
	t := &Text{cfg: cfg, encodings: map[string]int{}}
	if err := errors.Join(t.load(ctx, files), ctx.Err()); err != nil {
		return nil, fmt.Errorf("text: %w", err)
	}
	if t.Len() == 0 {
		return nil, fmt.Errorf("text: %d tokens in %d files do not fill a sequence of %d and 1 (%d left out)", t.tokens, len(files), cfg.Length, t.bad.count)
	}
	return t, nil
}

// document is a text, or a part of a long one, on its way through the encoder.
type document struct {
	name, text string
	end        bool // the document ends with this part
	ids        []int
	err        error
	done       chan struct{}
}

// load encodes on several goroutines and appends in order.
func (t *Text) load(ctx context.Context, files []string) error {
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan *document, t.cfg.Workers)
	ordered := make(chan *document, 2*t.cfg.Workers) // bounds the texts in memory
	send := func(d *document) error {
		d.done = make(chan struct{})
		for _, c := range []chan *document{ordered, work} {
			select {
			case c <- d:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	g.Go(func() error {
		defer close(work)
		defer close(ordered)
		return t.readFiles(files, send)
	})
	for range t.cfg.Workers {
		g.Go(func() error {
			for d := range work {
				d.encode(t.cfg.Encoder, t.cfg.Encoding == EncodingBytes)
				close(d.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for d := range ordered {
			select {
			case <-d.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := t.append(d); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

func (t *Text) readFiles(files []string, send func(*document) error) error {
	for _, name := range files {
		read := splitter{separator: []byte(t.cfg.Separator), limit: t.cfg.MaxDocumentBytes, encoding: t.cfg.Encoding}
		fileErr, err := read.file(t.cfg.FS, name, send)
		if err != nil {
			return err
		}
		if fileErr == nil {
			t.encodings[read.encoding]++
		} else {
			if err := send(&document{name: name, err: fileErr, end: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *document) encode(e Encoder, anyBytes bool) {
	switch {
	case d.err != nil || d.text == "":
	case !anyBytes && !utf8.ValidString(d.text):
		d.err = errors.New("not UTF-8 text")
	default:
		d.ids, d.err = e.Encode(d.text)
		d.text = ""
	}
}

func (t *Text) append(d *document) error {
	for _, id := range d.ids {
		if id < 0 || id > math.MaxInt32 {
			d.err = fmt.Errorf("token id %d is out of range", id)
			break
		}
	}
	if d.err != nil {
		t.bad.add(d.name, d.err)
	} else {
		t.begun = true
		for _, id := range d.ids {
			if err := t.add(int32(id)); err != nil {
				return err
			}
		}
	}
	if !d.end || !t.begun {
		return nil
	}
	t.begun = false // what was usable of it ends, even if its last part was not
	t.documents++
	if t.cfg.EOS < 0 {
		return nil
	}
	return t.add(int32(t.cfg.EOS))
}

func (t *Text) add(id int32) error {
	if t.tokens == t.cfg.MaxTokens {
		return fmt.Errorf("more than %d tokens", t.cfg.MaxTokens)
	}
	if t.tokens%blockTokens == 0 {
		t.blocks = append(t.blocks, make([]int32, 0, blockTokens))
	}
	last := &t.blocks[len(t.blocks)-1]
	*last = append(*last, id)
	t.tokens++
	return nil
}

// Len implements [Dataset].
func (t *Text) Len() int { return max(t.tokens-1, 0) / t.cfg.Length }

// Shape implements [Dataset]: T+1 tokens.
func (t *Text) Shape() Shape { return Shape{Tokens: t.cfg.Length + 1} }

// Sample implements [Dataset]. It draws nothing.
func (t *Text) Sample(dst *Sample, i int, _ *Rand) error {
	at, out := i*t.cfg.Length, dst.Tokens[:t.cfg.Length+1]
	for len(out) > 0 {
		n := copy(out, t.blocks[at/blockTokens][at%blockTokens:])
		out, at = out[n:], at+n
	}
	dst.Label, dst.Length = -1, int32(t.cfg.Length+1)
	return nil
}

// Tokens returns the number of all tokens, separators included.
func (t *Text) Tokens() int { return t.tokens }

// Documents returns the number of documents.
func (t *Text) Documents() int { return t.documents }

// Encodings returns how many files are in each encoding.
func (t *Text) Encodings() map[string]int { return t.encodings }

// Bad returns how many files and documents were left out, and the first 1000 of them.
func (t *Text) Bad() (count int, list []Bad) { return t.bad.count, t.bad.list }

// trimBOM removes the mark that some editors put before text.
func trimBOM(s string) string { return strings.TrimPrefix(s, "\ufeff") }
