package job

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

// Version is the layout of job files that is read.
const Version = 1

// maxJobBytes bounds a job file.
const maxJobBytes = 1 << 20

// Job is what job.toml says. Paths in it are relative to Dir.
type Job struct {
	Layout int        `toml:"version"` // Version
	Model  net.Config `toml:"model"`   // kind may also be resnet18, resnet34 or resnet50
	Data   Data       `toml:"data"`
	Train  Train      `toml:"train"`
	Swarm  *Swarm     `toml:"swarm"` // nil: nothing is said of peers

	Dir  string `toml:"-"` // the folder of the job file
	Name string `toml:"-"` // of the job: that of its file without the extension

	lines  map[string]int // of keys in the file
	joined bool           // by Join: others may have what this machine has not
}

// Data says what to learn from: exactly one of its sections is there.
type Data struct {
	Images *Images `toml:"images"`
	Text   *Text   `toml:"text"`
	CSV    *CSV    `toml:"csv"`
}

// Images is a folder with a folder of images for each class.
type Images struct {
	Folder     string    `toml:"folder"`
	Validation string    `toml:"validation"` // folder with the same classes
	Split      float64   `toml:"split"`      // part of Folder for validation, if Validation is empty
	Size       []int     `toml:"size"`       // height and width that the model sees
	Gray       bool      `toml:"gray"`       // one channel instead of three
	Fit        string    `toml:"fit"`        // crop (if empty) or stretch
	Resize     int       `toml:"resize"`     // crop: length of the shorter side before; that of the larger of Size if 0
	Filter     string    `toml:"filter"`     // bilinear (if empty), bicubic or nearest
	Mean       []float64 `toml:"mean"`       // subtracted from values of 0 to 1, one number or one for each channel
	Std        []float64 `toml:"std"`        // that they are divided by then
	Augment    Augment   `toml:"augment"`
}

// Augment says how images of training are changed at random.
type Augment struct {
	Crop    string    `toml:"crop"`    // none (if empty), random: a window of Size, or resized: a window of random size
	Padding int       `toml:"padding"` // crop random: black pixels around the image before
	Scale   []float64 `toml:"scale"`   // crop resized: least and largest part of the area; 0.08 and 1 if empty
	Flip    float64   `toml:"flip"`    // probability that left and right are swapped
	Rotate  float64   `toml:"rotate"`  // largest angle in degrees, either way
	Shear   float64   `toml:"shear"`   // largest angle in degrees, either way, in x and y
	Zoom    []float64 `toml:"zoom"`    // least and largest factor
	Shift   float64   `toml:"shift"`   // largest move as a part of width and height, either way
}

// Text is files that are put one after the other.
type Text struct {
	Folder     string   `toml:"folder"`
	Files      []string `toml:"files"`                      // patterns: *, ?, [] within a name, ** for any folders
	Exclude    []string `toml:"exclude"`                    // patterns of files that are left out
	Validation []string `toml:"validation"`                 // patterns of files for validation, left out of training
	Split      float64  `toml:"split"`                      // part of the sequences for validation, if Validation is empty
	Length     int      `toml:"length"`                     // tokens of a sequence
	Separator  string   `toml:"separator"`                  // between documents; empty: a file is a document
	Tokenizer  string   `toml:"tokenizer"`                  // bytes (if empty) or the path of a tokenizer.json
	Encoding   string   `toml:"encoding" json:",omitempty"` // of the files: utf-8, utf-16, windows-1252 …, bytes as they are; found out if empty
	EOS        string   `toml:"eos"`                        // token after each document, with a tokenizer.json; none if empty
}

// CSV is a file of rows with a line of names at its top.
type CSV struct {
	File          string   `toml:"file"`
	Validation    string   `toml:"validation"`                       // file with the same columns
	Split         float64  `toml:"split"`                            // part of the rows for validation, if Validation is empty
	Label         string   `toml:"label"`                            // column to be predicted
	Encoding      string   `toml:"encoding" json:",omitempty"`       // utf-8, utf-16, windows-1252 …; found out if empty, as the next three are
	Separator     string   `toml:"separator"`                        // of fields, one character
	Decimal       string   `toml:"decimal" json:",omitempty"`        // before decimals: "." or ","
	Thousands     string   `toml:"thousands" json:",omitempty"`      // between groups of three digits: ".", ",", "'", " " or "none"
	SkipRows      int      `toml:"skip_rows" json:",omitempty"`      // lines above that with the names of the columns, of File and of Validation
	Columns       []Column `toml:"columns"`                          // those whose kind is not found out from their values
	Missing       string   `toml:"missing"`                          // of rows in which an input is missing: skip (if empty) or fill
	MissingValues []string `toml:"missing_values" json:",omitempty"` // words for missing values, beside those that are built in
	Raw           bool     `toml:"raw"`                              // numbers as they are, without mean 0 and deviation 1
	Length        int      `toml:"length"`                           // tokens of a column of text
	Tokenizer     string   `toml:"tokenizer"`                        // of a column of text: bytes (if empty) or the path of a tokenizer.json
}

// Column says what a column of a CSV file means.
type Column struct {
	Name string `toml:"name"`
	Kind string `toml:"kind"` // auto, number, category, text or ignore
}

// Train says how to train.
type Train struct {
	Epochs     int             `toml:"epochs"` // passes over the data; or Steps
	Steps      int             `toml:"steps"`
	Batch      int             `toml:"batch"`
	Accumulate int             `toml:"accumulate"` // batches of each step, whose gradients are averaged; 1 if 0
	Threads    int             `toml:"threads"`    // 0: all
	Seed       uint64          `toml:"seed"`
	Optimizer  train.Optimizer `toml:"optimizer"`
	Schedule   train.Schedule  `toml:"schedule"`  // steps is the length of the run if 0
	Clip       float64         `toml:"clip"`      // largest norm of the gradient; 0: no limit
	Smoothing  float64         `toml:"smoothing"` // of the targets

	ValidateEvery   int    `toml:"validate_every"`   // steps; 0: at the end of each epoch
	Best            string `toml:"best"`             // what makes a validation better: loss (if empty) or metric
	Patience        int    `toml:"patience"`         // validations in a row without a better one that end the run; 0: none
	Folder          string `toml:"folder"`           // of the run; the job's name with .run if empty
	CheckpointEvery int    `toml:"checkpoint_every"` // steps; 0: at the end of each epoch
}

// Read reads a job file and checks it. The error lists all problems with their lines.
func Read(path string) (*Job, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJobBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read job: %w", err)
	}
	j, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("read job %s:\n%w", path, err)
	}
	j.Dir = filepath.Dir(abs)
	j.Name = strings.TrimSuffix(filepath.Base(abs), filepath.Ext(abs))
	return j, nil
}

// Parse reads the bytes of a job file and checks them. Dir and Name are empty.
func Parse(data []byte) (*Job, error) {
	j, err := decode(data)
	if err != nil {
		return nil, err
	}
	return j, j.Validate()
}

// decode reads the bytes of a job file: names and types are right then, values need not be.
func decode(data []byte) (*Job, error) {
	if len(data) > maxJobBytes {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), maxJobBytes)
	}
	lines, err := scan(data)
	if err != nil {
		return nil, err
	}
	j := &Job{lines: lines}
	if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(j); err != nil {
		return nil, decodeProblem(err)
	}
	return j, nil
}

// decodeProblem turns what the decoder finds beyond scan, such as a key that is there twice.
func decodeProblem(err error) error {
	var at *toml.DecodeError
	if !errors.As(err, &at) {
		return err
	}
	line, _ := at.Position()
	return &Problem{Key: strings.Join(at.Key(), "."), Line: line, Text: strings.TrimPrefix(at.Error(), "toml: ")}
}

// path returns a path of the job as one of this process.
func (j *Job) path(p string) string {
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(j.Dir, filepath.FromSlash(p))
}

// Folder returns the folder of the run.
func (j *Job) Folder() string {
	if j.Train.Folder == "" {
		name := j.Name
		if name == "" {
			name = "job"
		}
		return j.path(name + ".run")
	}
	return j.path(j.Train.Folder)
}
