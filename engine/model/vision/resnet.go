package vision

import (
	"fmt"

	"github.com/covey-network/covey/engine/kernel"
)

// blocks are the numbers of blocks of each stage (He and others, "Deep residual learning for
// image recognition", 2016, table 1).
func blocks(depth int) ([4]int, bool) {
	switch depth {
	case 18:
		return [4]int{2, 2, 2, 2}, true
	case 34, 50:
		return [4]int{3, 4, 6, 3}, true
	case 101:
		return [4]int{3, 4, 23, 3}, true
	case 152:
		return [4]int{3, 8, 36, 3}, true
	}
	return [4]int{}, false
}

func relu() string { return kernel.ActReLU.String() }

// expansion is how many times wider a bottleneck block is outside.
const expansion = 4

// ResNet returns the layers of a residual network of depth 18, 34, 50, 101 or 152 for a
// number of classes, with the names of torchvision. width is the number of channels of the
// first convolution, 64 in the original. small is the stem for small images: a 3x3
// convolution, instead of 7x7 with stride 2 and max pooling.
func ResNet(depth, width, classes int, small bool) ([]Layer, error) {
	counts, ok := blocks(depth)
	if !ok {
		return nil, fmt.Errorf("a ResNet of depth %d is not known: want 18, 34, 50, 101 or 152", depth)
	}
	if width < 1 || width > MaxChannels/(8*expansion) {
		return nil, fmt.Errorf("width of a ResNet is %d, want 1 to %d", width, MaxChannels/(8*expansion))
	}
	stem := Layer{Type: Conv, Name: "conv1", Norm: "bn1", Channels: width, Kernel: 7, Stride: 2, Pad: 3, Activation: relu()}
	if small {
		stem.Kernel, stem.Stride, stem.Pad = 3, 1, 1
	}
	out := []Layer{stem}
	if !small {
		out = append(out, Layer{Type: MaxPool, Kernel: 3, Stride: 2, Pad: 1})
	}
	for stage, n := range counts {
		for i := range n {
			l := Layer{Type: Basic, Name: fmt.Sprintf("layer%d.%d", stage+1, i), Channels: width << stage, Stride: 1}
			if depth >= 50 {
				l.Type, l.Channels = Bottleneck, l.Channels*expansion
			}
			if stage > 0 && i == 0 {
				l.Stride = 2
			}
			out = append(out, l)
		}
	}
	return append(out, Layer{Type: GlobalPool}, Layer{Type: Linear, Name: "fc", Channels: classes, Bias: true}), nil
}
