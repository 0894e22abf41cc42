package job

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/train/data"
)

// digests tell whether a run goes on with what it began with: hashes of the settings that
// change its numbers beside those that the trainer's state has, and of the samples.
type digests struct {
	Settings   string `json:"settings"`
	Train      string `json:"train"`
	Validation string `json:"validation"`
}

// digests of the open data. Paths do not count: data may be moved.
func (j *Job) digests(d *dataset) (digests, error) {
	section := j.Data
	if c := section.Images; c != nil {
		copied := *c
		copied.Folder, copied.Validation = "", ""
		section.Images = &copied
	}
	if c := section.Text; c != nil {
		copied := *c
		copied.Folder, copied.Files, copied.Exclude, copied.Validation, copied.Tokenizer = "", nil, nil, nil, ""
		section.Text = &copied
	}
	if c := section.CSV; c != nil {
		copied := *c
		copied.File, copied.Validation, copied.Tokenizer = "", "", ""
		section.CSV = &copied
	}
	settings, err := json.Marshal(struct {
		Data  Data
		Batch int
	}{section, j.Train.Batch})
	if err != nil {
		return digests{}, err
	}
	sum := sha256.Sum256(settings)
	return digests{hex.EncodeToString(sum[:]), digestOf(d.train), digestOf(d.validation)}, nil
}

func digestOf(d data.Dataset) string {
	h := sha256.New()
	if of, ok := d.(data.Digester); ok {
		fmt.Fprintf(h, "%+v\n", of.Shape())
		of.Digest(h)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// changed returns an error that names what is not as it was.
func (d digests) changed(now digests) error {
	var what []string
	for _, c := range []struct{ name, was, is string }{
		{"train.batch or the section data of the job", d.Settings, now.Settings},
		{"the samples for training or their classes", d.Train, now.Train},
		{"the samples for validation", d.Validation, now.Validation},
	} {
		if c.was != c.is {
			what = append(what, c.name)
		}
	}
	if len(what) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s; undo that, or set train.folder and begin anew", ErrChanged, strings.Join(slices.Compact(what), ", "))
}
