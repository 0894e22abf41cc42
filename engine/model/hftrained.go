package model

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model/mlp"
	"github.com/covey-network/covey/engine/model/vision"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/engine/train/data"
)

// The values of model_type in the config.json of a model trained here: engine/train/job
// writes it.
const (
	modelTypeResNet = "resnet"
	modelTypeCNN    = "covey-cnn"
	modelTypeMLP    = "covey-mlp"
)

// trainedConfig holds the fields of such a config.json that matter for serving.
type trainedConfig struct {
	ModelType     string   `json:"model_type"`
	Architectures []string `json:"architectures"`
	Model         struct {
		ResNet *struct {
			Depth int `json:"depth"`
		} `json:"resnet"`
		CNN *struct {
			Layers []imageLayer `json:"layers"`
		} `json:"cnn"`
		MLP *struct {
			Activation string `json:"activation"`
			Regression bool   `json:"regression"`
		} `json:"mlp"`
	} `json:"model"`
	Labels        []string `json:"labels"`
	Preprocessing *struct {
		Channels int       `json:"channels"`
		Height   int       `json:"height"`
		Width    int       `json:"width"`
		Fit      string    `json:"fit"` // crop or stretch
		Resize   int       `json:"resize"`
		Filter   string    `json:"filter"`
		Mean     []float32 `json:"mean"`
		Std      []float32 `json:"std"`
	} `json:"preprocessing"`
	Columns       []mlp.Column `json:"columns"` // of a table, instead of preprocessing
	FillMissing   bool         `json:"fill_missing"`
	MissingValues []string     `json:"missing_values"`
	Target        string       `json:"target"`
	TargetMean    float64      `json:"target_mean"`
	TargetStd     float64      `json:"target_std"`
	Format        *data.Format `json:"format"`
}

// imageLayer is a layer of a CNN as engine/train/net has it.
type imageLayer struct {
	Type     string  `json:"type"`
	Name     string  `json:"name"`
	Channels int     `json:"channels"`
	Kernel   int     `json:"kernel"`
	Stride   int     `json:"stride"`
	Pad      *int    `json:"pad"`
	Bias     *bool   `json:"bias"`
	Norm     bool    `json:"norm"`
	ReLU     bool    `json:"relu"`
	Rate     float64 `json:"rate"`
}

func readTrainedConfig(data []byte, shapes map[string]tensor.Shape) (c Config, err error) {
	var h trainedConfig
	if err := json.Unmarshal(data, &h); err != nil {
		return c, err
	}
	if h.ModelType == modelTypeMLP && h.Preprocessing == nil {
		c.Arch = ArchMLP
		c.MLP, err = h.table(shapes)
		return c, err
	}
	c.Arch = ArchVision
	c.Vision, err = h.images(shapes)
	return c, err
}

// table makes the configuration of a perceptron on the rows of a table.
func (h *trainedConfig) table(shapes map[string]tensor.Shape) (*mlp.Config, error) {
	if h.Model.MLP == nil || len(h.Columns) == 0 {
		return nil, fmt.Errorf("model_type is %s, and neither preprocessing nor model.mlp and columns say what it takes", h.ModelType)
	}
	c := &mlp.Config{
		Columns: h.Columns, FillMissing: h.FillMissing, MissingValues: h.MissingValues, Target: h.Target, TargetMean: h.TargetMean, TargetStd: h.TargetStd, Format: h.Format,
		Activation: cmp.Or(h.Model.MLP.Activation, kernel.ActReLU.String()),
	}
	n := depthMLP(shapes)
	if n > mlp.MaxLayers {
		return nil, fmt.Errorf("%d layers, at most %d", n, mlp.MaxLayers)
	}
	for i := 1; i < n; i++ {
		w, err := classesOf(shapes, layerMLP(i)+".weight")
		if err != nil {
			return nil, err
		}
		c.Hidden = append(c.Hidden, w)
	}
	outputs, err := classesOf(shapes, layerMLP(n)+".weight")
	switch {
	case err != nil:
		return nil, err
	case h.Model.MLP.Regression && outputs != 1:
		return nil, fmt.Errorf("the model predicts %d numbers, want one", outputs)
	case !h.Model.MLP.Regression:
		if c.Labels, err = labelsOr(h.Labels, outputs); err != nil {
			return nil, err
		}
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if first := shapes[layerMLP(1)+".weight"]; first[1] != c.InputLen() {
		return nil, fmt.Errorf("the columns make %d inputs, tensor %q takes %d", c.InputLen(), layerMLP(1)+".weight", first[1])
	}
	return c, nil
}

// images makes the configuration of an image model.
func (h *trainedConfig) images(shapes map[string]tensor.Shape) (*vision.Config, error) {
	for _, a := range h.Architectures {
		if strings.HasSuffix(a, "ForImageClassification") || a == "ResNetModel" || a == "ResNetBackbone" {
			return nil, errors.New("ResNets with the names of transformers are not supported: want torchvision's or timm's weights")
		}
	}
	last := "fc.weight"
	if h.ModelType == modelTypeMLP {
		last = layerMLP(depthMLP(shapes)) + ".weight"
	}
	classes, err := classesOf(shapes, last)
	if err != nil {
		return nil, err
	}
	v := &vision.Config{Eps: 1e-5}
	switch m := &h.Model; {
	case h.ModelType == modelTypeResNet && m.ResNet != nil:
		v.Layers, _, err = resnetLayers(m.ResNet.Depth, classes, shapes)
	case h.ModelType == modelTypeCNN && m.CNN != nil:
		v.Layers, err = cnnLayers(m.CNN.Layers, classes)
	case h.ModelType == modelTypeMLP && m.MLP != nil && m.MLP.Regression:
		err = errors.New("the model predicts numbers from images, not classes: that cannot be served")
	case h.ModelType == modelTypeMLP && m.MLP != nil:
		v.Layers, err = mlpLayers(shapes, m.MLP.Activation)
	default:
		err = fmt.Errorf("model_type is %s, and its section is missing in model", h.ModelType)
	}
	if err != nil {
		return nil, err
	}
	if v.Labels, err = labelsOr(h.Labels, classes); err != nil {
		return nil, err
	}
	return v, h.prepare(v)
}

// prepare fills in the size and the treatment of images.
func (h *trainedConfig) prepare(v *vision.Config) error {
	p := h.Preprocessing
	if p == nil {
		return errors.New("preprocessing is missing: it says how an image becomes the input")
	}
	v.Input = []int{p.Channels, p.Height, p.Width}
	v.Prepare = vision.Prepare{Resize: p.Resize, Filter: p.Filter, Mean: p.Mean, Std: p.Std}
	switch p.Fit {
	case "stretch":
		v.Prepare.Resize = 0
	case "crop":
		if p.Resize < 1 {
			return fmt.Errorf("resize is %d, want the length of the shorter side before the crop", p.Resize)
		}
	default:
		return fmt.Errorf("fit is %.40q, want crop or stretch", p.Fit)
	}
	return nil
}

// cnnLayers makes the layers of a CNN of engine/train/net: the same names and the same defaults.
func cnnLayers(layers []imageLayer, classes int) ([]vision.Layer, error) {
	if len(layers) > vision.MaxLayers {
		return nil, fmt.Errorf("%d layers, at most %d", len(layers), vision.MaxLayers)
	}
	var out []vision.Layer
	count := map[string]int{}
	planes := true
	for i, l := range layers {
		count[l.Type]++
		v, err := l.layer(count[l.Type])
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
		if v.Type == "" {
			continue // dropout does nothing but in training
		}
		planes = planes && v.Type != vision.Flatten && v.Type != vision.GlobalPool
		out = append(out, v)
	}
	if planes {
		out = append(out, vision.Layer{Type: vision.GlobalPool})
	}
	return append(out, vision.Layer{Type: vision.Linear, Name: "fc", Channels: classes, Bias: true}), nil
}

// depthMLP returns how many layers fc1, fc2, ... a perceptron has.
func depthMLP(shapes map[string]tensor.Shape) int {
	for n := 1; ; n++ {
		if _, ok := shapes[layerMLP(n+1)+".weight"]; !ok {
			return n
		}
	}
}

// layerMLP names the tensors of a layer of a perceptron, from 1.
func layerMLP(n int) string { return "fc" + strconv.Itoa(n) }

// mlpLayers makes the layers of a perceptron of engine/train/net on the values of an image.
func mlpLayers(shapes map[string]tensor.Shape, activation string) ([]vision.Layer, error) {
	out := []vision.Layer{{Type: vision.Flatten}}
	n := depthMLP(shapes)
	if n >= vision.MaxLayers {
		return nil, fmt.Errorf("%d layers, at most %d", n, vision.MaxLayers-1)
	}
	act := cmp.Or(activation, kernel.ActReLU.String())
	for i := 1; i <= n; i++ {
		name := layerMLP(i)
		s := shapes[name+".weight"]
		if len(s) != 2 {
			return nil, fmt.Errorf("tensor %q has shape %v, want a matrix", name+".weight", s)
		}
		l := vision.Layer{Type: vision.Linear, Name: name, Channels: s[0], Bias: true}
		if i < n {
			l.Activation = act
		}
		out = append(out, l)
	}
	return out, nil
}

// layer fills in what is absent in the nth layer of its type. Dropout gives no layer.
func (l imageLayer) layer(n int) (vision.Layer, error) {
	or := func(v, otherwise int) int {
		if v == 0 {
			return otherwise
		}
		return v
	}
	name := l.Name
	named := func(kind string) string {
		if name == "" {
			return kind + strconv.Itoa(n)
		}
		return name
	}
	v := vision.Layer{Type: l.Type, Channels: l.Channels}
	if l.ReLU {
		v.Activation = kernel.ActReLU.String()
	}
	switch l.Type {
	case "conv":
		v.Name, v.Kernel, v.Stride = named("conv"), or(l.Kernel, 3), or(l.Stride, 1)
		v.Pad, v.Bias = value(l.Pad, v.Kernel/2), value(l.Bias, !l.Norm)
		if l.Norm {
			v.Norm = "bn" + strconv.Itoa(n)
		}
	case "maxpool", "avgpool":
		v = vision.Layer{Type: l.Type, Kernel: or(l.Kernel, 2), Pad: value(l.Pad, 0)}
		v.Stride = or(l.Stride, v.Kernel)
	case "residual":
		v = vision.Layer{Type: vision.Basic, Name: named("block"), Channels: l.Channels, Stride: or(l.Stride, 1)}
	case "linear":
		v.Name, v.Bias = named("linear"), value(l.Bias, true)
	case "globalpool", "flatten":
		v = vision.Layer{Type: l.Type}
	case "dropout":
		v = vision.Layer{}
	default:
		return v, fmt.Errorf("type %.40q is not supported: want conv, maxpool, avgpool, globalpool, residual, flatten, linear or dropout", l.Type)
	}
	return v, nil
}
