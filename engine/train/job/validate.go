package job

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/covey-network/covey/engine/model/bert"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/net"
)

// The words of a job file.
const (
	fitCrop, fitStretch                    = "crop", "stretch"
	cropNone, cropRandom, cropResized      = "none", "random", "resized"
	missingSkip, missingFill               = "skip", "fill"
	bestLoss, bestMetric                   = "loss", "metric"
	maxSide, maxBatch, maxThreads, maxStep = 1 << 14, 1 << 20, 1 << 10, 1 << 40
	maxAccumulate                          = 256
)

// kindsOfModels are the words of model.kind.
var kindsOfModels = []string{net.KindMLP, net.KindCNN, "resnet18", "resnet34", "resnet50", net.KindLlama, net.KindBert}

// check collects what is wrong with a job.
type check struct {
	job     *Job
	endless bool // neither steps nor epochs is right
	errs    []error
}

// add notes a problem at a key: its line, or that of the closest section around it.
func (c *check) add(key, format string, args ...any) {
	c.errs = append(c.errs, &Problem{Key: key, Line: c.job.line(key), Text: fmt.Sprintf(format, args...)})
}

func (j *Job) line(key string) int {
	for k := key; ; {
		if line, ok := j.lines[k]; ok {
			return line
		}
		i := strings.LastIndexAny(k, ".[")
		if i < 0 {
			return 0
		}
		k = k[:i]
	}
}

func (c *check) in(key string, v, lo, hi int) {
	if v < lo || v > hi {
		c.add(key, "is %d, want %d to %d", v, lo, hi)
	}
}

func (c *check) between(key string, v, lo, hi float64) {
	if !(v >= lo && v <= hi) {
		c.add(key, "is %v, want %v to %v", v, lo, hi)
	}
}

func (c *check) needed(key, v string) {
	if v == "" {
		c.add(key, "is missing")
	}
}

func (c *check) oneOf(key, v string, allowed ...string) {
	if v != "" && !slices.Contains(allowed, v) {
		c.add(key, "is %.40q, want one of %s", v, strings.Join(allowed, ", "))
	}
}

// pair checks a list that is empty or an ascending range.
func (c *check) pair(key string, v []float64, lo, hi float64) {
	if len(v) != 0 && (len(v) != 2 || !(lo <= v[0] && v[0] <= v[1] && v[1] <= hi)) {
		c.add(key, "is %v, want two ascending numbers of %v to %v", v, lo, hi)
	}
}

// Validate reports all problems that can be told without the data.
func (j *Job) Validate() error { return j.validate(j.Swarm != nil) }

// validate is Validate; endless jobs may be without a length.
func (j *Job) validate(endless bool) error {
	c := &check{job: j, endless: endless}
	if j.Layout != Version {
		c.add("version", "is %d, this program reads version = %d", j.Layout, Version)
	}
	sections := 0
	for _, s := range []struct {
		set   bool
		check func()
	}{{j.Data.Images != nil, c.images}, {j.Data.Text != nil, c.text}, {j.Data.CSV != nil, c.csv}} {
		if s.set {
			sections++
			s.check()
		}
	}
	if sections != 1 {
		c.add("data", "has %d sections, want exactly one of data.images, data.text, data.csv", sections)
	}
	c.train()
	c.swarm()
	c.zeros()
	if j.Model.Kind != net.KindResNet && !slices.Contains(kindsOfModels, j.Model.Kind) {
		c.add("model.kind", "is %.40q, want one of %s", j.Model.Kind, strings.Join(kindsOfModels, ", "))
	} else if sections == 1 && len(c.errs) == 0 { // what the model gets from the data is right
		c.model()
	} else if sections == 1 {
		c.fits()
	}
	return errors.Join(c.errs...)
}

// notZero are the keys of numbers for which 0 would stand for another one: that of a key
// that is left out.
var notZero = []string{
	"model.llama.kv_heads", "model.llama.head_dim", "model.llama.eps", "model.llama.rope_theta", "model.bert.types", "model.bert.eps",
	"model.resnet.width", "model.resnet.depth", "model.cnn.layers.kernel", "model.cnn.layers.stride", "data.images.resize",
	"train.accumulate", "swarm.inner_steps", "swarm.inner_time", "swarm.group", "swarm.min_peers", "swarm.target", "swarm.privacy.delta", "swarm.privacy.epsilon",
}

// zeros refuses a 0 in the file that would not mean 0.
func (c *check) zeros() {
	set := train.Keys(c.job)
	for _, key := range slices.Sorted(maps.Keys(c.job.lines)) {
		general, index, found := strings.Cut(key, "[")
		if found {
			_, rest, _ := strings.Cut(index, "]")
			general += rest
		}
		if _, ok := set[key]; !ok && slices.Contains(notZero, general) {
			c.add(key, "is 0, want more: without the key it has its default")
		}
	}
}

func (c *check) train() {
	t := &c.job.Train
	switch {
	case t.Epochs == 0 && t.Steps == 0 && !c.endless:
		c.add("train", "has neither epochs nor steps, want one of them%s", c.swarmHint())
	case t.Epochs != 0 && t.Steps != 0:
		c.add("train.steps", "is %d and epochs is %d, want one of them", t.Steps, t.Epochs)
	}
	if k := t.Schedule.Kind; t.Steps == 0 && t.Schedule.Steps == 0 && c.endless && c.job.Swarm.steps() == 0 && (k == train.Cosine || k == train.Linear) {
		c.add("train.schedule.steps", "is missing: kind %s ends at a step, and nothing else says how many there are", k)
	}
	c.in("train.epochs", t.Epochs, 0, 1<<30)
	c.in("train.steps", t.Steps, 0, maxStep)
	c.in("train.batch", t.Batch, 1, maxBatch)
	if t.Accumulate != 0 {
		c.in("train.accumulate", t.Accumulate, 1, maxAccumulate)
	}
	c.in("train.threads", t.Threads, 0, maxThreads)
	c.in("train.validate_every", t.ValidateEvery, 0, maxStep)
	c.in("train.checkpoint_every", t.CheckpointEvery, 0, maxStep)
	c.in("train.patience", t.Patience, 0, maxStep)
	c.oneOf("train.best", t.Best, bestLoss, bestMetric)
	if s := c.job.Swarm; s != nil && (s.Target != 0 || s.Patience != 0) && !c.job.Data.validates() && !c.job.joined {
		c.add("swarm", "target and patience need data for validation: set split or validation in the section of the data")
	}
	if (t.Patience > 0 || t.Best != "") && !c.job.Data.validates() {
		c.add("train", "patience and best need data for validation: set split or validation in the section of the data")
	}
	cfg := train.Config{Model: net.Config{Kind: net.KindMLP, MLP: &net.MLP{Input: 1, Output: 1}}, Optimizer: t.Optimizer, Schedule: t.schedule(maxStep), Clip: t.Clip, Smoothing: t.Smoothing}
	c.told(cfg.Validate())
}

// swarmHint says what a job may be meant for.
func (c *check) swarmHint() string {
	if c.job.Swarm != nil {
		return " to train alone"
	}
	return ""
}

// told takes over what is wrong with a configuration of the trainer.
func (c *check) told(err error) {
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return
	}
	for _, e := range many.Unwrap() {
		at, in := "train", reflect.TypeFor[Train]()
		if strings.HasPrefix(e.Error(), "check model: ") {
			at, in = "model", reflect.TypeFor[net.Config]()
		}
		for _, text := range leaves(e) {
			c.nested(at, text, in)
		}
	}
}

// schedule returns the schedule for a run of some steps. Warm-up that would not end before the
// run does is made a tenth of it.
func (t *Train) schedule(steps int) train.Schedule {
	s := t.Schedule
	if s.Steps == 0 && (s.Kind == train.Cosine || s.Kind == train.Linear) {
		s.Steps = steps
	}
	if s.Warmup >= steps {
		s.Warmup = steps / 10
	}
	return s
}

// validates reports whether there is data for validation.
func (d *Data) validates() bool {
	switch {
	case d.Images != nil:
		return d.Images.Validation != "" || d.Images.Split > 0
	case d.Text != nil:
		return len(d.Text.Validation) > 0 || d.Text.Split > 0
	case d.CSV != nil:
		return d.CSV.Validation != "" || d.CSV.Split > 0
	}
	return false
}

func (c *check) split(section string, split float64, validation bool) {
	if !(split >= 0 && split < 1) {
		c.add(section+".split", "is %v, want at least 0 and less than 1", split)
	}
	if split > 0 && validation {
		c.add(section+".split", "is %v and there is a validation too, want one of them", split)
	}
}

func (c *check) images() {
	d := c.job.Data.Images
	const at = "data.images"
	c.needed(at+".folder", d.Folder)
	c.split(at, d.Split, d.Validation != "")
	if len(d.Size) != 2 || min(d.Size[0], d.Size[1]) < 1 || max(d.Size[0], d.Size[1]) > maxSide {
		c.add(at+".size", "is %v, want height and width, 1 to %d each", d.Size, maxSide)
	}
	c.in(at+".resize", d.Resize, 0, maxSide)
	c.oneOf(at+".fit", d.Fit, fitCrop, fitStretch)
	c.oneOf(at+".filter", d.Filter, data.Bilinear.String(), data.Bicubic.String(), data.Nearest.String())
	if d.Fit == fitStretch && d.Resize != 0 {
		c.add(at+".resize", "belongs to fit = %q", fitCrop)
	}
	channels := d.channels()
	for _, v := range []struct {
		name   string
		values []float64
		least  float64
	}{{"mean", d.Mean, -1e6}, {"std", d.Std, 1e-6}} {
		if n := len(v.values); n > 1 && n != channels {
			c.add(at+"."+v.name, "has %d numbers, want 1 or %d", n, channels)
		}
		for _, x := range v.values {
			c.between(at+"."+v.name, x, v.least, 1e6)
		}
	}
	c.augment(at+".augment", &d.Augment)
}

func (c *check) augment(at string, a *Augment) {
	c.oneOf(at+".crop", a.Crop, cropNone, cropRandom, cropResized)
	c.in(at+".padding", a.Padding, 0, maxSide)
	if a.Padding != 0 && a.Crop != cropRandom {
		c.add(at+".padding", "belongs to crop = %q", cropRandom)
	}
	c.pair(at+".scale", a.Scale, 1e-6, 1)
	if len(a.Scale) != 0 && a.Crop != cropResized {
		c.add(at+".scale", "belongs to crop = %q", cropResized)
	}
	c.between(at+".flip", a.Flip, 0, 1)
	c.between(at+".rotate", a.Rotate, 0, 360)
	c.between(at+".shear", a.Shear, 0, 89)
	c.pair(at+".zoom", a.Zoom, 0.01, 100)
	c.between(at+".shift", a.Shift, 0, 1)
}

func (c *check) text() {
	d := c.job.Data.Text
	const at = "data.text"
	c.in(at+".length", d.Length, 1, 1<<24)
	if len(d.Files) == 0 {
		c.add(at+".files", "is missing: patterns such as \"**/*.txt\"")
	}
	c.split(at, d.Split, len(d.Validation) > 0)
	for _, l := range []struct {
		name     string
		patterns []string
	}{{"files", d.Files}, {"exclude", d.Exclude}, {"validation", d.Validation}} {
		for i, p := range l.patterns {
			if _, err := path.Match(p, ""); err != nil || p == "" || path.IsAbs(p) || path.Clean(p) != p || strings.HasPrefix(p, "..") {
				c.add(fmt.Sprintf("%s.%s[%d]", at, l.name, i), "is %.80q, want a path below folder with *, ?, [] or **", p)
			}
		}
	}
	c.encoding(at, d.Encoding, true)
	if d.Encoding == data.EncodingBytes && !d.bytes() {
		c.add(at+".encoding", "is %q, which needs tokenizer = %q", d.Encoding, tokenizerBytes)
	}
	if d.EOS != "" && d.bytes() {
		c.add(at+".eos", "belongs to a tokenizer.json: the tokenizer bytes has its own")
	}
}

func (d *Text) bytes() bool { return d.Tokenizer == "" || d.Tokenizer == tokenizerBytes }
func (d *CSV) bytes() bool  { return d.Tokenizer == "" || d.Tokenizer == tokenizerBytes }

func (c *check) csv() {
	d := c.job.Data.CSV
	const at = "data.csv"
	c.needed(at+".file", d.File)
	c.needed(at+".label", d.Label)
	c.split(at, d.Split, d.Validation != "")
	if utf8.RuneCountInString(d.Separator) > 1 || strings.ContainsAny(d.Separator, "\"\r\n\ufffd") {
		c.add(at+".separator", "is %.40q, want one character", d.Separator)
	}
	c.encoding(at, d.Encoding, false)
	c.oneOf(at+".decimal", d.Decimal, ".", ",")
	c.oneOf(at+".thousands", d.Thousands, ".", ",", "'", " ", data.NoThousands)
	switch d.Thousands {
	case "":
	case d.Decimal:
		c.add(at+".thousands", "is %q, and so is decimal: what stands before decimals does not stand between thousands", d.Thousands)
	case d.Separator:
		c.add(at+".thousands", "is %q, and so is separator: it would divide such a number; leave thousands out where numbers are in quotes, it is found out", d.Thousands)
	}
	c.in(at+".skip_rows", d.SkipRows, 0, 1<<20)
	c.oneOf(at+".missing", d.Missing, missingSkip, missingFill)
	if err := data.CheckMissing(d.MissingValues); err != nil {
		c.add(at+".missing_values", "%v", err)
	}
	texts := 0
	for i, col := range d.Columns {
		key := fmt.Sprintf("%s.columns[%d]", at, i)
		c.needed(key+".name", col.Name)
		if k, err := data.ParseKind(col.Kind); err != nil {
			c.add(key+".kind", "is %.40q, want one of auto, number, category, text, ignore", col.Kind)
		} else if k == data.Sentence {
			texts++
		} else if want := c.job.labelKind(); col.Name == d.Label && k != data.Auto && k != want {
			c.add(key+".kind", "is %q, and the model predicts a %s: change it or model.mlp.regression", col.Kind, want)
		}
	}
	switch {
	case texts > 1:
		c.add(at+".columns", "has %d columns of text, want one at most", texts)
	case texts == 1:
		c.in(at+".length", d.Length, 1, bert.MaxText) // more of a text is not served
	case d.Length != 0 || d.Tokenizer != "":
		c.add(at, "length and tokenizer need a column of kind text")
	}
}

// encoding checks the name of an encoding; bytes is for texts.
func (c *check) encoding(section, name string, text bool) {
	if name == "" {
		return
	}
	if known, err := data.ParseEncoding(name); err != nil {
		c.add(section+".encoding", "is %.40q, want utf-8, utf-16, utf-16le, utf-16be, or a name such as windows-1252, iso-8859-15 or koi8-r", name)
	} else if known == data.EncodingBytes && !text {
		c.add(section+".encoding", "is %q, which is for [data.text]", name)
	}
}

// text reports whether the rows have a text.
func (d *CSV) text() bool {
	return slices.ContainsFunc(d.Columns, func(c Column) bool { return c.Kind == data.Sentence.String() })
}

// fits checks that the kind of model can read the data.
func (c *check) fits() bool {
	d, kind := &c.job.Data, c.job.Model.Kind
	var allowed []string
	what := ""
	switch {
	case d.Images != nil:
		what, allowed = "images", []string{net.KindCNN, net.KindMLP, net.KindResNet, "resnet18", "resnet34", "resnet50"}
	case d.Text != nil:
		what, allowed = "text", []string{net.KindLlama}
	case d.CSV.text():
		what, allowed = "CSV with a column of text", []string{net.KindBert}
	default:
		what, allowed = "CSV", []string{net.KindMLP}
	}
	if m := c.job.Model.MLP; d.Images != nil && m != nil && m.Regression {
		c.add("model.mlp.regression", "is for tables: images have classes")
	}
	if !slices.Contains(allowed, kind) {
		c.add("model.kind", "is %q for %s, want one of %s", kind, what, strings.Join(allowed, ", "))
		return false
	}
	return true
}

// model checks the model, with ones in place of what only the data tells.
func (c *check) model() {
	if !c.fits() {
		return
	}
	cfg, problems := c.job.model(c.job.known())
	c.errs = append(c.errs, problems...)
	if len(problems) > 0 {
		return
	}
	cfg, _ = (&Job{Model: cfg}).model(known{features: 1, outputs: 1, labels: []string{"?"}, vocab: 1, context: 1})
	for _, text := range leaves(cfg.Validate()) {
		c.nested("model", text, reflect.TypeFor[net.Config]())
	}
	if l := cfg.Llama; l != nil && l.NoRope {
		c.add("model.llama.no_rope", "is for measurements only: such a model cannot be served")
	}
}

// leaves returns the texts of joined errors.
func leaves(err error) []string {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []string
		for _, e := range many.Unwrap() {
			out = append(out, leaves(e)...)
		}
		return out
	}
	for _, frame := range []string{"check training configuration: ", "check model: "} {
		if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), frame) {
			return leaves(inner)
		}
	}
	return []string{err.Error()}
}

// nested notes a problem told by another package, such as "optimizer: lr is 0, want more
// than 0" or "cnn: layer 2 (conv): kernel is 9, want ...", at the key that it names.
func (c *check) nested(at, text string, in reflect.Type) {
	for {
		head, rest, ok := strings.Cut(text, ": ")
		if !ok {
			break
		}
		var n int
		if _, err := fmt.Sscanf(head, "layer %d", &n); err == nil && in == reflect.TypeFor[net.CNN]() {
			at, text, in = fmt.Sprintf("%s.layers[%d]", at, n-1), rest, reflect.TypeFor[net.Layer]()
			continue
		}
		f, ok := field(in, head)
		if !ok || f.Kind() != reflect.Struct {
			break
		}
		at, text, in = at+"."+head, rest, f
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,:;()", r) })
	for _, w := range words {
		if _, ok := field(in, w); ok {
			at += "." + w
			text = strings.TrimPrefix(text, w+" ")
			break
		}
	}
	c.add(at, "%s", text)
}

// field returns the type of the field that a key names.
func field(in reflect.Type, key string) (reflect.Type, bool) {
	for i := range in.NumField() {
		if name, _, _ := strings.Cut(in.Field(i).Tag.Get("toml"), ","); name == key && name != "" {
			t := in.Field(i).Type
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			return t, true
		}
	}
	return nil, false
}
