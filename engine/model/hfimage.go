package model

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/covey-network/covey/engine/model/vision"
	"github.com/covey-network/covey/engine/tensor"
)

// configAdvice says what config.json of a directory of bare image weights must hold.
const configAdvice = `for a ResNet it must hold at least {"architecture": "resnet50"}, better also "num_classes", "label_names", "input_size", "mean", "std", "crop_pct" and "interpolation"`

// imageConfig holds the fields of the config.json of an image model of timm, and those that
// people add to torchvision's weights.
type imageConfig struct {
	imageSource
	Architecture string            `json:"architecture"` // resnet18, resnet34, resnet50, ...
	Pretrained   *imageSource      `json:"pretrained_cfg"`
	GlobalPool   string            `json:"global_pool"`
	ID2Label     map[string]string `json:"id2label"`
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

// parseNumericConfig turns a config.json into the configuration of a model that takes
// numbers; ok tells whether it is one. shapes are those of the tensors: widths, stem and
// number of classes are read from them.
func parseNumericConfig(data []byte, shapes map[string]tensor.Shape) (c Config, ok bool, err error) {
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
	if kind.ModelType != "" {
		c, err = readTrainedConfig(data, shapes)
	} else {
		c.Arch = ArchVision
		c.Vision, err = readImageConfig(data, shapes)
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return Config{}, true, fmt.Errorf("read config.json: %w", err)
	}
	return c, true, nil
}

func readImageConfig(data []byte, shapes map[string]tensor.Shape) (*vision.Config, error) {
	var h imageConfig
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, err
	}
	if h.GlobalPool != "" && h.GlobalPool != "avg" {
		return nil, fmt.Errorf("global_pool %.40q is not supported: want avg", h.GlobalPool)
	}
	classes, err := classesOf(shapes, "fc.weight")
	if err != nil {
		return nil, err
	}
	want := h.Classes
	if want == nil && h.Pretrained != nil {
		want = h.Pretrained.Classes
	}
	if want != nil && *want != classes {
		return nil, fmt.Errorf("num_classes is %d, tensor %q has %d", *want, "fc.weight", classes)
	}
	name, _, _ := strings.Cut(h.Architecture, ".") // timm puts the training recipe after the dot
	depth, err := strconv.Atoi(strings.TrimPrefix(name, "resnet"))
	if err != nil || name != "resnet"+strconv.Itoa(depth) {
		return nil, fmt.Errorf("architecture %.60q is not supported: want resnet18, resnet34, resnet50, resnet101 or resnet152", h.Architecture)
	}
	v := &vision.Config{Eps: 1e-5}
	var first tensor.Shape
	if v.Layers, first, err = resnetLayers(depth, classes, shapes); err != nil {
		return nil, err
	}
	if v.Labels, err = h.labels(classes); err != nil {
		return nil, err
	}
	return v, h.prepare(v, first[1])
}

// classesOf returns the number of classes, which the last layer tells.
func classesOf(shapes map[string]tensor.Shape, last string) (int, error) {
	fc := shapes[last]
	if len(fc) != 2 {
		return 0, fmt.Errorf("tensor %q has shape %v, want classes and features", last, fc)
	}
	return fc[0], nil
}

// resnetLayers makes the layers of a residual network. The first convolution tells its
// width and its stem.
func resnetLayers(depth, classes int, shapes map[string]tensor.Shape) ([]vision.Layer, tensor.Shape, error) {
	first := shapes["conv1.weight"]
	if len(first) != 4 || first[2] != first[3] || first[2] != 3 && first[2] != 7 {
		return nil, nil, fmt.Errorf("tensor %q has shape %v, want a convolution of 7x7, or of 3x3 for small images", "conv1.weight", first)
	}
	layers, err := vision.ResNet(depth, first[0], classes, first[2] == 3)
	return layers, first, err
}

// labels returns the names of the classes; without any they are called by their numbers.
func (h *imageConfig) labels(classes int) ([]string, error) {
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
	return labelsOr(names, classes)
}

// labelsOr returns the names of the classes, their numbers if there are no names.
func labelsOr(names []string, classes int) ([]string, error) {
	if classes > vision.MaxLabels {
		return nil, fmt.Errorf("%d classes, at most %d", classes, vision.MaxLabels)
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
		s.CropMode, s.Interpolation = cmp.Or(s.CropMode, p.CropMode), cmp.Or(s.Interpolation, p.Interpolation)
	}
	if s.Interpolation != "" {
		filter = s.Interpolation
	}
	v.Input = either(s.InputSize, []int{channels, 224, 224})
	v.Prepare = vision.Prepare{Filter: filter, Mean: s.Mean, Std: s.Std}
	if channels == 3 {
		v.Prepare.Mean, v.Prepare.Std = either(s.Mean, []float32{0.485, 0.456, 0.406}), either(s.Std, []float32{0.229, 0.224, 0.225})
	}
	if len(v.Input) != 3 {
		return fmt.Errorf("input_size is %v, want channels, height and width", v.Input)
	}
	if s.CropMode != "" && s.CropMode != "center" {
		return fmt.Errorf("crop_mode %.40q is not supported: want center", s.CropMode)
	}
	crop := value(s.CropPct, 0.875)
	if !(crop > 0.01 && crop <= 1) {
		return fmt.Errorf("crop_pct is %v, want at most 1 and more than 0.01", crop)
	}
	v.Prepare.Resize = int(math.Floor(float64(max(v.Input[1], v.Input[2])) / crop))
	return nil
}

func either[T any](a, b []T) []T {
	if len(a) > 0 {
		return a
	}
	return b
}
