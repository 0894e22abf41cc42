package data_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/covey-network/covey/engine/train/data"
)

// bytesEncoder makes one token of each byte and refuses texts with an exclamation mark.
type bytesEncoder struct{}

func (bytesEncoder) Encode(text string) ([]int, error) {
	if strings.Contains(text, "!") {
		return nil, errors.New("exclamation mark")
	}
	ids := make([]int, len(text))
	for i := range ids {
		ids[i] = int(text[i])
	}
	return ids, nil
}

func texts(files ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		m[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return m
}

// stream returns all tokens of a dataset of sequences of length 1, 0 shown as |.
func stream(t *testing.T, d *data.Text) string {
	t.Helper()
	var out []byte
	dst := d.Shape().NewSample()
	for i := range d.Len() {
		if err := d.Sample(&dst, i, nil); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			out = append(out, byte(dst.Tokens[0]))
		}
		for _, id := range dst.Tokens[1:] {
			out = append(out, byte(id))
		}
	}
	return strings.ReplaceAll(string(out), "\x00", "|")
}

func TestText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  data.TextConfig
		want string
		bad  int
	}{
		"files in order":     {data.TextConfig{FS: texts("b.txt", "bee", "a.txt", "ay", "c.md", "no")}, "ay|bee|", 0},
		"lines":              {data.TextConfig{FS: texts("a.txt", "one\n\ntwo\nthree"), Separator: "\n"}, "one|two|three|", 0},
		"long separator":     {data.TextConfig{FS: texts("a.txt", "<s>one<s><stwo<s>"), Separator: "<s>"}, "one|<stwo|", 0},
		"no eos":             {data.TextConfig{FS: texts("a.txt", "a", "b.txt", "b"), EOS: -1}, "ab", 0},
		"long document":      {data.TextConfig{FS: texts("a.txt", "one\ntwo\nthree", "b.txt", "b"), MaxDocumentBytes: 6}, "one\ntwo\nthree|b|", 0},
		"long line":          {data.TextConfig{FS: texts("a.txt", "aéééé\nb"), Separator: "\n", MaxDocumentBytes: 4}, "aéééé|b|", 0},
		"Latin-1":            {data.TextConfig{FS: texts("a.txt", "a\xffb", "b.txt", "bee")}, "aÿb|bee|", 0},
		"Latin-1 not wanted": {data.TextConfig{FS: texts("a.txt", "a\xffb", "b.txt", "bee"), Encoding: data.EncodingUTF8}, "bee|", 1},
		"Windows-1250":       {data.TextConfig{FS: texts("a.txt", "\xb9\xea"), Encoding: "windows-1250"}, "ąę|", 0},
		"UTF-16":             {data.TextConfig{FS: texts("a.txt", "\xff\xfea\x00\n\x00\xe4\x00", "b.txt", "\xfe\xff\x00b")}, "a\nä|b|", 0},
		"UTF-16, no mark":    {data.TextConfig{FS: texts("a.txt", "a\x00b\x00c\x00")}, "abc|", 0},
		"a damaged line":     {data.TextConfig{FS: texts("a.txt", "één\nt\xffwo\nthree"), Separator: "\n"}, "één|three|", 1},
		"bytes":              {data.TextConfig{FS: texts("a.txt", "a\xffb"), Encoding: data.EncodingBytes}, "a\xffb|", 0},
		"no text":            {data.TextConfig{FS: texts("a.txt", "a\xff\x00\x01\x02b", "b.txt", "PK\x03\x04", "c.txt", "see")}, "see|", 2},
		"refused":            {data.TextConfig{FS: texts("a.txt", "one\ntwo!\nthree"), Separator: "\n"}, "one|three|", 1},
		"refused at its end": {data.TextConfig{FS: texts("a.txt", "one\ntwo!", "b.txt", "b"), MaxDocumentBytes: 4}, "one\n|b|", 1},
		"refused at first":   {data.TextConfig{FS: texts("a.txt", "on!\ntwo", "b.txt", "b"), MaxDocumentBytes: 4}, "two|b|", 1},
		"byte order mark":    {data.TextConfig{FS: texts("a.txt", "\ufeffone")}, "one|", 0},
		"empty file":         {data.TextConfig{FS: texts("a.txt", "", "b.txt", "b")}, "b|", 0},
		"deep":               {data.TextConfig{FS: texts("x/y/a.txt", "a", "x/b.txt", "b", "x/.git/c.txt", "c"), Files: []string{"x/**/*.txt"}}, "b|a|", 0},
		"several and twice":  {data.TextConfig{FS: texts("a.txt", "a", "b.go", "b"), Files: []string{"*.txt", "a.*", "b.go"}}, "a|b|", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Encoder, c.cfg.Length = bytesEncoder{}, 1
			if c.cfg.Files == nil {
				c.cfg.Files = []string{"*.txt"}
			}
			for workers := range 3 {
				c.cfg.Workers = workers
				d, err := data.OpenText(t.Context(), c.cfg)
				if err != nil {
					t.Fatal(err)
				}
				if got := stream(t, d); got != c.want {
					t.Errorf("%d workers: got %q, want %q", workers, got, c.want)
				}
				if n, list := d.Bad(); n != c.bad || len(list) != c.bad {
					t.Errorf("got %d bad, want %d: %v", n, c.bad, list)
				}
				if want := strings.Count(c.want, "|"); c.cfg.EOS == 0 && d.Documents() != want {
					t.Errorf("got %d documents, want %d", d.Documents(), want)
				}
			}
		})
	}
}

// TestPlaceInText names documents that are refused, and where they are in a file.
func TestPlaceInText(t *testing.T) {
	t.Parallel()
	d, err := data.OpenText(t.Context(), data.TextConfig{
		FS: texts("a.txt", "\u00e4\ntwo!", "b.txt", "\xe4\ntwo!"), Files: []string{"*.txt"}, Separator: "\n", Encoder: bytesEncoder{}, Length: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, list := d.Bad()
	if len(list) != 2 || list[0].Name != "a.txt at byte 3" || list[1].Name != "b.txt at byte 3 of its text in UTF-8" {
		t.Errorf("got %v", list)
	}
}

// TestTextSequences checks how sequences overlap, across the blocks of memory too.
func TestTextSequences(t *testing.T) {
	t.Parallel()
	d, err := data.OpenText(t.Context(), data.TextConfig{
		FS: texts("a.txt", "0123456789abc"), Files: []string{"a.txt"}, Encoder: bytesEncoder{}, Length: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	dst := d.Shape().NewSample()
	for i := range d.Len() {
		if err := d.Sample(&dst, i, nil); err != nil || dst.Length != 5 || dst.Label != -1 {
			t.Fatal(dst, err)
		}
		got = append(got, fmt.Sprintf("%c", dst.Tokens))
	}
	if want := []string{"[0 1 2 3 4]", "[4 5 6 7 8]", "[8 9 a b c]"}; !slices.Equal(got, want) || d.Tokens() != 14 {
		t.Errorf("got %q of %d tokens, want %q", got, d.Tokens(), want)
	}

	long := strings.Repeat("0123456789", 1<<18)
	d, err = data.OpenText(t.Context(), data.TextConfig{FS: texts("a.txt", long), Files: []string{"a.txt"}, Encoder: bytesEncoder{}, Length: 1000003})
	if err != nil {
		t.Fatal(err)
	}
	dst = d.Shape().NewSample()
	for i := range d.Len() {
		if err := d.Sample(&dst, i, nil); err != nil {
			t.Fatal(err)
		}
		for k, id := range dst.Tokens {
			if at := i*1000003 + k; byte(id) != long[at] {
				t.Fatalf("token %d: got %q, want %q", at, id, long[at])
			}
		}
	}
}

func TestTextErrors(t *testing.T) {
	t.Parallel()
	good := data.TextConfig{FS: texts("a.txt", "hello"), Files: []string{"*.txt"}, Encoder: bytesEncoder{}, Length: 2}
	for name, change := range map[string]func(*data.TextConfig){
		"no encoder":      func(c *data.TextConfig) { c.Encoder = nil },
		"no length":       func(c *data.TextConfig) { c.Length = 0 },
		"no match":        func(c *data.TextConfig) { c.Files = []string{"*.md"} },
		"pattern":         func(c *data.TextConfig) { c.Files = []string{"[a"} },
		"pattern above":   func(c *data.TextConfig) { c.Files = []string{"../*"} },
		"too short":       func(c *data.TextConfig) { c.Length = 6 },
		"too many tokens": func(c *data.TextConfig) { c.MaxTokens = 5 },
		"all bad":         func(c *data.TextConfig) { c.FS = texts("a.txt", "\xff\xfe") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			change(&cfg)
			if _, err := data.OpenText(t.Context(), cfg); err == nil {
				t.Error("want an error")
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := data.OpenText(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
}

func TestFindFiles(t *testing.T) {
	t.Parallel()
	fsys := texts("a.go", "", "src/a.go", "", "src/b/a.go", "", "src/b/c/d.go", "", ".x/a.go", "", "src/.h.go", "")
	for pattern, want := range map[string][]string{
		"**/*.go":    {"a.go", "src/a.go", "src/b/a.go", "src/b/c/d.go"},
		"src/*/a.go": {"src/b/a.go"},
		"src/**/c/*": {"src/b/c/d.go"},
		"**/a.go":    {"a.go", "src/a.go", "src/b/a.go"},
		".x/*":       {".x/a.go"},
		"src/.*":     {"src/.h.go"},
		"src":        nil,
	} {
		got, err := data.FindFiles(fsys, []string{pattern})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", pattern, got, err, want)
		}
	}
}
