// Package tiny writes an image model of a few kilobytes for tests: a ResNet-18 of two
// channels with weights made of the tensors' names, as a directory with torchvision's names
// and timm's config.json. WriteResNet is all there is. It imports nothing of ours; tests of
// node and testnet use it.
package tiny

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
)

// Width is the number of channels of the first stage.
const Width = 2

// Labels returns the names of the model's classes.
func Labels() []string { return []string{"cat", "dog", "owl", "yak", "emu"} }

// writer collects tensors in the layout of safetensors.
type writer struct {
	header map[string]entry
	data   []byte
}

type entry struct {
	DType   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// WriteResNet writes config.json and model.safetensors into a directory, which it makes.
// The model takes images of 32 x 32 pixels, resized to 36 before the middle is cut out.
func WriteResNet(dir string) error {
	w := &writer{header: map[string]entry{}}
	w.conv("conv1", "bn1", Width, 3, 3)
	in := Width
	for stage := range 4 {
		out := Width << stage
		for block := range 2 {
			name := fmt.Sprintf("layer%d.%d.", stage+1, block)
			w.conv(name+"conv1", name+"bn1", out, in, 3)
			w.conv(name+"conv2", name+"bn2", out, out, 3)
			if in != out {
				w.conv(name+"downsample.0", name+"downsample.1", out, in, 1)
			}
			in = out
		}
	}
	w.add("fc.weight", 0, 2, len(Labels()), in)
	w.add("fc.bias", 0, 0.05, len(Labels()))
	header, err := json.Marshal(w.header)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "resnet18", "num_classes": len(Labels()), "label_names": Labels(),
		"pretrained_cfg": map[string]any{
			"input_size": []int{3, 32, 32}, "crop_pct": 32.0 / 36, "interpolation": "bicubic",
			"mean": []float64{0.485, 0.456, 0.406}, "std": []float64{0.229, 0.224, 0.225},
		},
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600); err != nil {
		return err
	}
	file := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	return os.WriteFile(filepath.Join(dir, "model.safetensors"), append(file, w.data...), 0o600)
}

// conv adds a convolution and the batch norm after it.
func (w *writer) conv(name, norm string, out, in, side int) {
	w.add(name+".weight", 0, math.Sqrt(6/float64(in*side*side)), out, in, side, side)
	w.add(norm+".weight", 1, 0.1, out)
	w.add(norm+".bias", 0, 0.05, out)
	w.add(norm+".running_mean", 0, 0.1, out)
	w.add(norm+".running_var", 1, 0.5, out)
}

// add adds a tensor of numbers around a center, drawn from its name.
func (w *writer) add(name string, center, bound float64, shape ...int) {
	n := 1
	for _, d := range shape {
		n *= d
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	first := len(w.data)
	for i := range n {
		z := h.Sum64() + uint64(i)*0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		unit := float64((z^z>>31)>>40)*0x1p-23 - 1
		w.data = binary.LittleEndian.AppendUint32(w.data, math.Float32bits(float32(center+float64(unit*bound))))
	}
	w.header[name] = entry{"F32", shape, [2]int{first, len(w.data)}}
}
