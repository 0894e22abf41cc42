package job

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/data"
)

// maxKeys bounds the settings in a state, which takes a cursor of 1 MiB at most: of jobs
// with more, such as tables of thousands of columns, only a hash is kept.
const maxKeys = 64 << 10

// digests tell whether a run goes on with what it began with: the settings that change its
// numbers beside those that the trainer's state has, and hashes of them and of the samples.
type digests struct {
	Settings   string            `json:"settings"`
	Keys       map[string]string `json:"keys,omitempty"` // see train.Keys; none if they are too long
	Train      string            `json:"train"`
	Validation string            `json:"validation"`
	Contents   string            `json:"contents,omitempty"` // of files of images; none in states of before
	Part       string            `json:"part,omitempty"`     // Options.Rank and Of, unless it is all
	Private    string            `json:"private,omitempty"`  // Options.Private, if there is one
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
	settings := struct {
		Data  Data  `toml:"data"`
		Train batch `toml:"train"`
	}{section, batch{Batch: j.Train.Batch}}
	if n := j.Train.accumulated(); n > 1 {
		settings.Train.Accumulate = n
	}
	text, err := json.Marshal(struct {
		Data Data
		batch
	}{section, settings.Train})
	if err != nil {
		return digests{}, err
	}
	sum := sha256.Sum256(text)
	out := digests{Settings: hex.EncodeToString(sum[:]), Train: digestOf(d.train), Validation: digestOf(d.validation), Contents: d.contents}
	if len(text) <= maxKeys {
		out.Keys = train.Keys(settings)
	}
	return out, nil
}

// batch is the part of section train that goes with the data.
type batch struct {
	Batch      int `toml:"batch"`
	Accumulate int `toml:"accumulate" json:",omitempty"`
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
	switch {
	case d.Keys != nil && now.Keys != nil:
		what = train.Differences(d.Keys, now.Keys)
	case d.Settings != now.Settings:
		what = append(what, "train.batch or the section data of the job")
	}
	for _, c := range []struct{ name, was, is string }{
		{"the samples for training or their classes", d.Train, now.Train},
		{"the samples for validation", d.Validation, now.Validation},
	} {
		if c.was != c.is {
			what = append(what, c.name)
		}
	}
	if d.Part != now.Part {
		what = append(what, fmt.Sprintf("the part of the data was %s and is %s", cmp.Or(d.Part, "all"), cmp.Or(now.Part, "all")))
	}
	if d.Private != now.Private {
		what = append(what, fmt.Sprintf("privacy was %s and is %s", cmp.Or(d.Private, "none"), cmp.Or(now.Private, "none")))
	}
	if len(what) == 0 && d.Contents != "" && d.Contents != now.Contents {
		what = append(what, "what is in the files of the images")
	}
	return changedError(what)
}

// changedConfig is changed for the settings that the trainer's state has.
func changedConfig(other *train.ConfigError) error {
	what := make([]string, len(other.Differences))
	for i, d := range other.Differences {
		if what[i] = d; !strings.HasPrefix(d, "model.") {
			what[i] = "train." + d
		}
	}
	return changedError(what)
}

// maxChanges is how many changes an error names.
const maxChanges = 5

func changedError(what []string) error {
	if len(what) == 0 {
		return nil
	}
	if more := len(what) - maxChanges; more > 0 {
		what = append(what[:maxChanges:maxChanges], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%w: %s; undo that, or set train.folder and begin anew", ErrChanged, strings.Join(what, ", "))
}
