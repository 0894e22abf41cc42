package job

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/model/mlp"
	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/net"
)

// The layout of an export. It is a folder like those of Hugging Face:
//
//	model.safetensors  all parameters and running statistics, float32
//	config.json        what the model is
//	tokenizer.json, tokenizer_config.json, generation_config.json   of models of text
//
// Decoders are LlamaForCausalLM (with biases of query, key and value Qwen2ForCausalLM),
// encoders BertForSequenceClassification: config.json is what transformers writes for them,
// and whatever reads those reads these.
//
// For all others config.json is an Architecture. Its model_type is resnet, covey-cnn or
// covey-mlp, and its model section is net.Config as JSON. Tensors have the names and shapes
// of torchvision: (out, in) for linear layers, (out, in, kh, kw) for convolutions, and
// running_mean and running_var of batch norms, without num_batches_tracked.
//
//	resnet     conv1.weight, bn1.{weight,bias,running_mean,running_var},
//	           layerS.B.{conv1,bn1,conv2,bn2[,conv3,bn3]}, layerS.B.downsample.{0,1}, fc
//	           (S from 1, B from 0; the stride of bottlenecks is at the 3x3; with stem cifar
//	           conv1 is 3x3 with stride 1 and no pooling follows)
//	covey-cnn  in the order of model.cnn.layers, the nth of its type from 1 or by its name:
//	           convN[+bnN], linearN, residual blockN.{conv1,bn1,conv2,bn2,downsample.{0,1}};
//	           then fc, after the mean of each plane if the layers end in planes
//	covey-mlp  fc1, fc2, ... with model.mlp.activation between them

// Architecture is config.json of models of images and of numbers.
type Architecture struct {
	ModelType     string         `json:"model_type"`    // resnet, covey-cnn or covey-mlp
	Architectures []string       `json:"architectures"` // ResNet18, ResNet34, ResNet50, CoveyCNN or CoveyMLP
	DType         string         `json:"torch_dtype"`   // float32
	Model         net.Config     `json:"model"`
	Labels        []string       `json:"labels,omitempty"` // of the outputs; none with regression
	Preprocessing *Preprocessing `json:"preprocessing,omitempty"`
	Columns       []InputColumn  `json:"columns,omitempty"`        // the inputs, of a table
	FillMissing   bool           `json:"fill_missing,omitempty"`   // a missing number counts as its mean, a missing category as none
	MissingValues []string       `json:"missing_values,omitempty"` // words for missing values in files, beside those that are built in
	Target        string         `json:"target,omitempty"`         // the column that is predicted
	TargetMean    float64        `json:"target_mean,omitempty"`    // of a number that is predicted: what comes out, times target_std, plus target_mean
	TargetStd     float64        `json:"target_std,omitempty"`     // 0: what comes out is the number
	Format        *data.Format   `json:"format,omitempty"`         // how the file was written from which the columns are
}

// Preprocessing says how an image becomes the input, as data.Pipeline does it: decode to
// RGB of 8 bits, fit to the size, make gray if there is one channel, then
// (v/255 - mean) / std, in the order channels, height, width.
type Preprocessing struct {
	Channels int       `json:"channels"` // 3, or 1 for gray: (299 R + 587 G + 114 B) / 1000
	Height   int       `json:"height"`
	Width    int       `json:"width"`
	Fit      string    `json:"fit"`              // crop: shorter side to resize, then the middle; stretch: to height and width
	Resize   int       `json:"resize,omitempty"` // of crop, in pixels
	Filter   string    `json:"filter"`           // bilinear, bicubic or nearest, antialiased as Pillow's
	Mean     []float64 `json:"mean"`             // of each channel
	Std      []float64 `json:"std"`
}

// InputColumn says how a column becomes inputs, in the order of the inputs.
type InputColumn struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`                 // number: (value - mean) / std; category: one input for each, 1 for the value's own
	Categories []string `json:"categories,omitempty"` //
	Mean       float64  `json:"mean,omitempty"`
	Std        float64  `json:"std,omitempty"` // 0: the number as it is
	data.Notation
}

// The values of Architecture.ModelType.
const (
	TypeResNet = "resnet"
	TypeCNN    = "covey-cnn"
	TypeMLP    = "covey-mlp"
)

// export writes the best model of the run, or the last one if there was no validation or the
// Sync wants it.
func (r *runner) export(res *Result) error {
	if r.at.HasBest && !r.last {
		if _, err := r.trainer.Load(filepath.Join(r.folder, bestFile)); err != nil {
			return err
		}
	}
	files, err := r.files()
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	res.Model = filepath.Join(r.folder, ExportDir)
	if err := replaceDir(res.Model, files); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// files makes the files of the export.
func (r *runner) files() (map[string][]byte, error) {
	m := r.trainer.Model()
	var weights bytes.Buffer
	err := safetensors.Write(&weights, map[string]string{"format": "pt"}, m.Tensors())
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"model.safetensors": weights.Bytes()}
	add := func(name string, v any) {
		var b []byte
		if b, err = json.MarshalIndent(v, "", "  "); err == nil {
			files[name] = append(b, '\n')
		}
	}
	t := r.data.tokenizer
	if config := m.Describe(); config != nil {
		if m.Config.Llama != nil && t.eos >= 0 {
			config["eos_token_id"] = t.eos
		}
		add("config.json", config)
	} else {
		add("config.json", r.architecture())
	}
	if t != nil && err == nil {
		files["tokenizer.json"] = t.file
		special := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": m.Context()}
		if t.eos >= 0 {
			special["eos_token"] = t.end
			add("generation_config.json", map[string]any{"eos_token_id": t.eos})
		}
		add("tokenizer_config.json", special)
	}
	return files, err
}

// served returns the model as engine/model/llama serves it. Defaults are those of net.
func served(c *net.Llama) *llama.Config {
	l := &llama.Config{
		Dim: c.Dim, Blocks: c.Blocks, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, FFN: c.FFN, Vocab: c.Vocab, Context: c.Context,
		Eps: c.Eps, Rope: c.Rope(), QKVBias: c.QKVBias, Tied: c.Tied,
	}
	if l.KVHeads == 0 {
		l.KVHeads = l.Heads
	}
	if l.HeadDim == 0 {
		l.HeadDim = l.Dim / l.Heads
	}
	if l.Eps == 0 {
		l.Eps = 1e-6
	}
	return l
}

// checkServable refuses before training what could not be served after it.
func (r *runner) checkServable(c net.Config) error {
	switch {
	case c.Validate() != nil: // the trainer tells those
		return nil
	case c.Llama != nil:
		return served(c.Llama).Validate()
	case c.MLP != nil && r.job.Data.CSV != nil:
		if err := r.servedTable(c.MLP).Validate(); err != nil {
			return fmt.Errorf("table %s: the model could not be served: %w: shorten or leave out what is too long or too many (kind = \"ignore\" in columns of [data.csv])", r.job.Data.CSV.File, err)
		}
	}
	return nil
}

// servedTable returns the model of a table as engine/model/mlp serves it.
func (r *runner) servedTable(c *net.MLP) *mlp.Config {
	a := r.tableOf(&Architecture{Labels: r.data.known.labels})
	m := &mlp.Config{
		FillMissing: a.FillMissing, Hidden: c.Hidden, Activation: cmp.Or(c.Activation, kernel.ActReLU.String()),
		Target: a.Target, TargetMean: a.TargetMean, TargetStd: a.TargetStd, Labels: a.Labels, Format: a.Format,
	}
	for _, col := range a.Columns {
		m.Columns = append(m.Columns, mlp.Column(col))
	}
	return m
}

func (r *runner) architecture() *Architecture {
	m := r.trainer.Model()
	a := &Architecture{DType: "float32", Model: m.Config, Labels: r.data.known.labels}
	switch c := m.Config; c.Kind {
	case net.KindResNet:
		a.ModelType, a.Architectures = TypeResNet, []string{fmt.Sprintf("ResNet%d", c.ResNet.Depth)}
	case net.KindCNN:
		a.ModelType, a.Architectures = TypeCNN, []string{"CoveyCNN"}
	default:
		a.ModelType, a.Architectures = TypeMLP, []string{"CoveyMLP"}
	}
	if d := r.job.Data.Images; d != nil {
		a.Preprocessing = d.preprocessing()
	}
	return r.tableOf(a)
}

// tableOf adds what the table tells, if the data is one.
func (r *runner) tableOf(a *Architecture) *Architecture {
	if c := r.job.Data.CSV; c != nil {
		a.FillMissing, a.MissingValues, a.Target, a.Format = c.Missing == missingFill, c.MissingValues, c.Label, &r.data.format
		a.TargetMean, a.TargetStd = r.data.target.Mean, r.data.target.Std
	}
	for _, col := range r.data.columns {
		if col.Name != r.job.Data.CSV.Label && (col.Kind == data.Number || col.Kind == data.Category) {
			a.Columns = append(a.Columns, InputColumn{Name: col.Name, Kind: col.Kind.String(), Categories: col.Categories, Mean: col.Mean, Std: col.Std, Notation: col.Notation})
		}
	}
	return a
}

func (d *Images) preprocessing() *Preprocessing {
	p := &Preprocessing{Channels: d.channels(), Height: d.Size[0], Width: d.Size[1], Fit: fitCrop, Resize: d.shorter(), Filter: d.filter().String()}
	if d.Fit == fitStretch {
		p.Fit, p.Resize = fitStretch, 0
	}
	each := func(v []float64, otherwise float64) []float64 {
		out := make([]float64, p.Channels)
		for i := range out {
			out[i] = otherwise
			if len(v) > 0 {
				out[i] = v[i%len(v)]
			}
		}
		return out
	}
	p.Mean, p.Std = each(d.Mean, 0), each(d.Std, 1)
	return p
}

// replaceDir makes a folder with files. An older one stays until the new one is whole.
func replaceDir(path string, files map[string][]byte) error {
	temp := path + ".tmp" // of a process that was killed, it goes
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	if err := os.Mkdir(temp, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := writeSynced(filepath.Join(temp, name), content); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(temp, path)
}

func writeSynced(path string, content []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}
