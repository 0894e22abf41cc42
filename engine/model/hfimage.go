package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model/vision"
	"github.com/covey-network/covey/engine/tensor"
)

// The values of model_type in a config.json of our own, see engine/train.
const (
	modelTypeResNet = "resnet"
	modelTypeCNN    = "covey-cnn"
	modelTypeMLP    = "covey-mlp"
)

// configAdvice says what config.json of a directory of bare image weights must hold.
const configAdvice = `for a ResNet it must hold at least {"architecture": "resnet50"}, better also "num_classes", "label_names", "input_size", "mean", "std", "crop_pct" and "interpolation"`

// imageConfig holds the fields of the config.json of an image model: timm's, those that
// people add to torchvision's weights, and those of models trained here.
type imageConfig struct {
	imageSource
	Architecture  string            `json:"architecture"` // resnet18, resnet34, resnet50, ...
	ModelType     string            `json:"model_type"`   // resnet, covey-cnn or covey-mlp, of our own
	Architectures []string          `json:"architectures"`
	Pretrained    *imageSource      `json:"pretrained_cfg"`
	GlobalPool    string            `json:"global_pool"`
	ID2Label      map[string]string `json:"id2label"`

	Depth      int          `json:"depth"`
	Layers     []imageLayer `json:"layers"`
	Activation string       `json:"activation"` // of covey-mlp: relu if empty
	Fit        string       `json:"fit"`        // crop, or stretch to the size of the input
	Resize     int          `json:"resize"`     // shorter side before the crop; goes before crop_pct
}

// imageSource is how timm describes the images a model wants, in pretrained_cfg; the same
// keys beside it go first.
type imageSource struct {
	Classes       *int      `json:"num_classes"`
	Labels        []string  `json:"label_names"`
	InputSize     []int     `json:"input_size"` // channels, height, width
	Mean          []float32 `json:"mean"`
	Std           []float32 `json:"std"`
	CropPct       *float64  `json:"crop_pct"`
	CropMode      string    `json:"crop_mode"`
	Interpolation string    `json:"interpolation"`
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

// parseImageConfig turns a config.json into the configuration of an image model; ok tells
// whether it is one. shapes are those of the tensors: width, stem and number of classes
// are read from them.
func parseImageConfig(data []byte, shapes map[string]tensor.Shape) (c Config, ok bool, err error) {
	var kind struct { // other models may have fields of the same names and other types
		Architecture string `json:"architecture"`
		ModelType    string `json:"model_type"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return c, false, nil // whoever reads it next will tell
	}
	switch kind.ModelType {
	case modelTypeResNet, modelTypeCNN, modelTypeMLP:
	case "":
		if kind.Architecture == "" {
			return c, false, nil
		}
	default:
		return c, false, nil
	}
	var h imageConfig
	if err := json.Unmarshal(data, &h); err != nil {
		return c, true, fmt.Errorf("parse config.json: %w", err)
	}
	v, err := h.vision(shapes)
	if err == nil {
		c = Config{Arch: ArchVision, Vision: v}
		err = c.Validate()
	}
	if err != nil {
		return Config{}, true, fmt.Errorf("read config.json: %w", err)
	}
	return c, true, nil
}

func (h *imageConfig) vision(shapes map[string]tensor.Shape) (*vision.Config, error) {
	if slices.ContainsFunc(h.Architectures, func(a string) bool { return strings.HasPrefix(a, "ResNet") }) {
		return nil, errors.New("ResNets with the names of transformers are not supported: want torchvision's or timm's weights")
	}
	if h.GlobalPool != "" && h.GlobalPool != "avg" {
		return nil, fmt.Errorf("global_pool %.40q is not supported: want avg", h.GlobalPool)
	}
	last := "fc"
	if h.ModelType == modelTypeMLP {
		last = "fc" + strconv.Itoa(depthMLP(shapes))
	}
	classes, err := h.classes(shapes, last+".weight")
	if err != nil {
		return nil, err
	}
	v := &vision.Config{Eps: 1e-5}
	channels := 3
	switch h.ModelType {
	case modelTypeCNN:
		v.Layers, err = h.cnn(classes)
	case modelTypeMLP:
		v.Layers, err = h.mlp(shapes)
	default:
		var first tensor.Shape
		v.Layers, first, err = h.resnet(classes, shapes)
		if err == nil {
			channels = first[1]
		}
	}
	if err != nil {
		return nil, err
	}
	if v.Labels, err = h.labels(classes); err != nil {
		return nil, err
	}
	return v, h.prepare(v, channels)
}

// classes returns the number of classes: that of the last layer, with which num_classes
// must agree.
func (h *imageConfig) classes(shapes map[string]tensor.Shape, last string) (int, error) {
	fc := shapes[last]
	if len(fc) != 2 {
		return 0, fmt.Errorf("tensor %q has shape %v, want classes and features", last, fc)
	}
	want := h.Classes
	if want == nil && h.Pretrained != nil {
		want = h.Pretrained.Classes
	}
	if want != nil && *want != fc[0] {
		return 0, fmt.Errorf("num_classes is %d, tensor %q has %d", *want, last, fc[0])
	}
	return fc[0], nil
}

// resnet makes the layers of a residual network. The first convolution tells its width and
// its stem.
func (h *imageConfig) resnet(classes int, shapes map[string]tensor.Shape) ([]vision.Layer, tensor.Shape, error) {
	depth := h.Depth
	if h.ModelType != modelTypeResNet {
		name, _, _ := strings.Cut(h.Architecture, ".") // timm puts the training recipe after the dot
		n, err := strconv.Atoi(strings.TrimPrefix(name, "resnet"))
		if err != nil || name != "resnet"+strconv.Itoa(n) {
			return nil, nil, fmt.Errorf("architecture %.60q is not supported: want resnet18, resnet34, resnet50, resnet101 or resnet152", h.Architecture)
		}
		depth = n
	}
	first := shapes["conv1.weight"]
	if len(first) != 4 || first[2] != first[3] || first[2] != 3 && first[2] != 7 {
		return nil, nil, fmt.Errorf("tensor %q has shape %v, want a convolution of 7x7, or of 3x3 for small images", "conv1.weight", first)
	}
	layers, err := vision.ResNet(depth, first[0], classes, first[2] == 3)
	return layers, first, err
}

// cnn makes the layers of a CNN of engine/train/net: the same names and the same defaults.
func (h *imageConfig) cnn(classes int) ([]vision.Layer, error) {
	if len(h.Layers) > vision.MaxLayers {
		return nil, fmt.Errorf("%d layers, at most %d", len(h.Layers), vision.MaxLayers)
	}
	var out []vision.Layer
	count := map[string]int{}
	planes := true
	for i, l := range h.Layers {
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
		if _, ok := shapes["fc"+strconv.Itoa(n+1)+".weight"]; !ok {
			return n
		}
	}
}

// mlp makes the layers of a perceptron of engine/train/net on the values of an image.
func (h *imageConfig) mlp(shapes map[string]tensor.Shape) ([]vision.Layer, error) {
	out := []vision.Layer{{Type: vision.Flatten}}
	n := depthMLP(shapes)
	if n >= vision.MaxLayers {
		return nil, fmt.Errorf("%d layers, at most %d", n, vision.MaxLayers-1)
	}
	act := h.Activation
	if act == "" {
		act = kernel.ActReLU.String()
	}
	for i := 1; i <= n; i++ {
		name := "fc" + strconv.Itoa(i)
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

// labels returns the names of the classes; without any they are called by their numbers.
func (h *imageConfig) labels(classes int) ([]string, error) {
	if classes > vision.MaxLabels {
		return nil, fmt.Errorf("%d classes, at most %d", classes, vision.MaxLabels)
	}
	names := h.Labels
	if len(names) == 0 && h.Pretrained != nil {
		names = h.Pretrained.Labels
	}
	if len(names) == 0 && len(h.ID2Label) > 0 {
		var err error
		if names, err = (&hfConfig{ID2Label: h.ID2Label}).labels(); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		for i := range classes {
			names = append(names, strconv.Itoa(i))
		}
	}
	if len(names) != classes {
		return nil, fmt.Errorf("%d label_names for %d classes", len(names), classes)
	}
	return names, nil
}

// prepare fills in the size and the treatment of images. What is absent is what torchvision
// and timm take: 224 x 224, cut out of an image 8/7 as large, ImageNet's mean and deviation.
func (h *imageConfig) prepare(v *vision.Config, channels int) error {
	s := h.imageSource
	filter := "bilinear"
	if p := h.Pretrained; p != nil {
		filter = "bicubic" // timm's default
		s.InputSize, s.Mean, s.Std = either(s.InputSize, p.InputSize), either(s.Mean, p.Mean), either(s.Std, p.Std)
		if s.CropPct == nil {
			s.CropPct = p.CropPct
		}
		s.CropMode, s.Interpolation = s.CropMode+p.CropMode, s.Interpolation+p.Interpolation
		if h.CropMode != "" {
			s.CropMode = h.CropMode
		}
		if h.Interpolation != "" {
			s.Interpolation = h.Interpolation
		}
	}
	if s.Interpolation != "" {
		filter = s.Interpolation
	}
	ours := h.ModelType != ""
	v.Input = either(s.InputSize, []int{channels, 224, 224})
	v.Prepare = vision.Prepare{Filter: filter, Mean: s.Mean, Std: s.Std}
	if !ours && channels == 3 {
		v.Prepare.Mean, v.Prepare.Std = either(s.Mean, []float32{0.485, 0.456, 0.406}), either(s.Std, []float32{0.229, 0.224, 0.225})
	}
	if len(v.Input) != 3 {
		return fmt.Errorf("input_size is %v, want channels, height and width", v.Input)
	}
	switch h.Fit {
	case "stretch":
		return nil
	case "", "crop":
	default:
		return fmt.Errorf("fit is %.40q, want crop or stretch", h.Fit)
	}
	if s.CropMode != "" && s.CropMode != "center" {
		return fmt.Errorf("crop_mode %.40q is not supported: want center", s.CropMode)
	}
	crop := 0.875
	if ours {
		crop = 1
	}
	crop = value(s.CropPct, crop)
	if !(crop > 0.01 && crop <= 1) {
		return fmt.Errorf("crop_pct is %v, want at most 1 and more than 0.01", crop)
	}
	v.Prepare.Resize = h.Resize
	if h.Resize == 0 {
		v.Prepare.Resize = int(math.Floor(float64(max(v.Input[1], v.Input[2])) / crop))
	}
	return nil
}

func either[T any](a, b []T) []T {
	if len(a) > 0 {
		return a
	}
	return b
}
