package job

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/covey-network/covey/engine/train/data"
)

// dataset is the data of a job, open.
type dataset struct {
	train, validation data.Dataset // validation is nil without
	tokenizer         *tokenizer   // nil without
	columns           []data.Column
	target            data.Column // of a table, what is predicted
	format            data.Format // of a table
	scaled            scaled      // likewise
	notes             []string    // of how tables and texts were read
	warnings          []string    // likewise, what is likely to spoil what is learned
	known             known
	bad               int    // files, documents and rows left out
	contents          string // fingerprint of files of images, else empty
	openOptions
}

// openOptions say how data is opened.
type openOptions struct {
	given   *Schema // what the data has to fit, nil if it decides
	inspect bool    // for the schema alone
}

// open opens the data. What is left out at once is told to bad.
func (j *Job) open(ctx context.Context, bad func(data.Bad), o openOptions) (*dataset, error) {
	t, err := j.tokenizer()
	if err != nil {
		return nil, err
	}
	if o.given != nil {
		if err := o.given.Validate(); err != nil {
			return nil, err
		}
		if err := o.given.fits(j, t); err != nil {
			return nil, err
		}
	}
	d := &dataset{tokenizer: t, known: j.known(), openOptions: o}
	if t != nil {
		d.known.vocab = t.vocab
	}
	switch {
	case j.Data.Images != nil:
		err = d.images(ctx, j, bad)
	case j.Data.Text != nil && !o.inspect: // of text the tokenizer decides
		err = d.text(ctx, j, bad)
	case j.Data.CSV != nil:
		err = d.csv(j, bad)
	}
	if err != nil {
		return nil, err
	}
	if o.inspect {
		return d, nil
	}
	if d.train.Len() == 0 || d.validation != nil && d.validation.Len() == 0 {
		return nil, fmt.Errorf("data: %d samples for training, none for validation or training: change split", d.train.Len())
	}
	s := d.train.Shape()
	switch {
	case s.Classes != nil:
		d.known.outputs, d.known.labels = len(s.Classes), s.Classes
	case s.Targets > 0:
		d.known.outputs = s.Targets
	}
	if j.Data.CSV != nil {
		d.known.features = s.Values
	}
	return d, nil
}

func (d *dataset) images(ctx context.Context, j *Job, bad func(data.Bad)) error {
	c := j.Data.Images
	pipelines, err := c.pipelines()
	if err != nil {
		return err
	}
	cfg := data.FolderConfig{FS: j.files(c.Folder), Pipeline: pipelines.train}
	if d.given != nil {
		cfg.Classes, cfg.Strict = d.given.Classes, true
	}
	folder, err := data.OpenFolder(cfg)
	if err != nil {
		return fmt.Errorf("images of %s: %w", j.path(c.Folder), err)
	}
	d.report(folder.Bad, bad)
	if classes := folder.Shape().Classes; len(classes) < 2 {
		return fmt.Errorf("images of %s: %q is the only folder with images, want one for each of two classes or more", j.path(c.Folder), classes)
	}
	d.train = folder
	if d.inspect {
		return nil
	}
	if d.contents, err = folder.Fingerprint(ctx); err != nil {
		return err
	}
	switch {
	case c.Validation != "":
		v, err := data.OpenFolder(data.FolderConfig{FS: j.files(c.Validation), Pipeline: pipelines.plain, Classes: folder.Shape().Classes, Strict: d.given != nil})
		if err != nil {
			return fmt.Errorf("images of %s: %w", j.path(c.Validation), err)
		}
		d.report(v.Bad, bad)
		d.validation = v
		held, err := v.Fingerprint(ctx)
		if err != nil {
			return err
		}
		d.contents += " " + held
	case c.Split > 0:
		train, validation, err := data.SplitClasses(folder.Labels(), c.Split, j.Train.Seed)
		if err != nil {
			return err
		}
		return d.divide(folder, folder.With(pipelines.plain), train, validation)
	}
	return nil
}

// divide makes subsets of two views of the same samples.
func (d *dataset) divide(of, validated data.Dataset, train, validation []int) (err error) {
	if d.train, err = data.NewSubset(of, train); err != nil {
		return err
	}
	d.validation, err = data.NewSubset(validated, validation)
	return err
}

func (d *dataset) text(ctx context.Context, j *Job, bad func(data.Bad)) error {
	c := j.Data.Text
	root := j.files(c.Folder)
	excluded, err := data.Files(root, c.Exclude)
	if err != nil {
		return fmt.Errorf("folder %s: exclude: %w", j.path(c.Folder), err)
	}
	held, err := data.Files(root, c.Validation)
	if err != nil {
		return fmt.Errorf("folder %s: validation: %w", j.path(c.Folder), err)
	}
	encoding := ""
	if c.Encoding != "" {
		if encoding, err = data.ParseEncoding(c.Encoding); err != nil {
			return err
		}
	}
	open := func(files []string, without ...[]string) (data.Dataset, error) {
		t, err := data.OpenText(ctx, data.TextConfig{
			FS: newHidingFS(root, without...), Files: files, Encoding: encoding, Separator: c.Separator, Encoder: d.tokenizer, EOS: d.tokenizer.eos, Length: c.Length,
		})
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", j.path(c.Folder), err)
		}
		d.report(t.Bad, bad)
		d.noteEncodings(t)
		return t, nil
	}
	if d.train, err = open(c.Files, excluded, held); err != nil {
		return err
	}
	switch {
	case len(c.Validation) > 0:
		d.validation, err = open(c.Validation, excluded)
		return err
	case c.Split > 0:
		train, validation, err := data.Split(d.train.Len(), c.Split, j.Train.Seed)
		if err != nil {
			return err
		}
		return d.divide(d.train, d.train, train, validation)
	}
	return nil
}

// noteEncodings tells of files of text that are not UTF-8.
func (d *dataset) noteEncodings(t *data.Text) {
	counts := t.Encodings()
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if name != data.EncodingUTF8 {
			d.notes = append(d.notes, fmt.Sprintf("%d files of text are %s", counts[name], name))
		}
	}
}

// report tells what was left out while a dataset was opened.
func (d *dataset) report(list func() (int, []data.Bad), bad func(data.Bad)) {
	count, first := list()
	d.bad += count
	for _, b := range first {
		bad(b)
	}
}

// files returns the files below a folder of the job, without those of the run.
func (j *Job) files(folder string) fs.FS {
	root := j.path(folder)
	rel, err := filepath.Rel(root, j.Folder())
	if err != nil {
		return os.DirFS(root)
	}
	return newHidingFS(os.DirFS(root), []string{filepath.ToSlash(rel)})
}

// hidingFS is a file system without some of its files and folders.
type hidingFS struct {
	fs.FS
	hidden map[string]bool
}

func newHidingFS(of fs.FS, lists ...[]string) *hidingFS {
	h := &hidingFS{of, map[string]bool{}}
	for _, l := range lists {
		for _, name := range l {
			h.hidden[name] = true
		}
	}
	return h
}

// Stat implements fs.StatFS: to open a file, which fs.Stat would do, may block on a pipe.
func (h *hidingFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(h.FS, name) }

// ReadDir implements fs.ReadDirFS, by which files are looked for.
func (h *hidingFS) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(h.FS, name)
	kept := entries[:0]
	for _, e := range entries {
		full := e.Name()
		if name != "." {
			full = name + "/" + full
		}
		if !h.hidden[full] {
			kept = append(kept, e)
		}
	}
	return kept, err
}
