package net

// The numbers of blocks per stage (He and others, "Deep residual learning for image
// recognition", 2016, table 1).
var resnetBlocks = map[int][4]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}, 50: {3, 4, 6, 3}}

// expansion is how many times wider a bottleneck block is outside.
const expansion = 4

func (c *ResNet) validate(p *problems) {
	if _, ok := resnetBlocks[c.Depth]; !ok {
		p.add("depth is %d, want one of 18, 34, 50", c.Depth)
	}
	p.in("classes", c.Classes, 1, maxWidth)
	p.in("width", c.Width, 0, 1<<12)
	if c.Stem != "" {
		p.oneOf("stem", c.Stem, StemImageNet, StemCIFAR)
	}
	p.image("input", c.Input)
}

func (c *ResNet) task() Task   { return Classify }
func (c *ResNet) input() []int { return c.Input }
func (c *ResNet) context() int { return 0 }
func (c *ResNet) outputs() int { return c.Classes }

func (c *ResNet) forward(s *scope, x value) value {
	width := c.Width
	if width == 0 {
		width = 64
	}
	if c.Stem == StemCIFAR {
		x = s.batchNorm(s.conv(x, "conv1", width, 3, 1, 1, false, true), "bn1", true)
	} else {
		x = s.batchNorm(s.conv(x, "conv1", width, 7, 2, 3, false, true), "bn1", true)
		x = s.maxPool(x, 3, 2, 1)
	}
	for stage, blocks := range resnetBlocks[c.Depth] {
		for i := range blocks {
			stride := 1
			if stage > 0 && i == 0 {
				stride = 2
			}
			name := block("layer%d.%d", stage+1, i)
			if c.Depth < 50 {
				x = s.basic(x, name, width<<stage, stride, true)
			} else {
				x = s.bottleneck(x, name, width<<stage, stride)
			}
		}
	}
	return s.linear(s.globalPool(x), "fc", c.Classes, true)
}

// basic is a residual block of two 3x3 convolutions.
func (s *scope) basic(x value, name string, out, stride int, fanOut bool) value {
	y := s.batchNorm(s.conv(x, name+".conv1", out, 3, stride, 1, false, fanOut), name+".bn1", true)
	y = s.batchNorm(s.conv(y, name+".conv2", out, 3, 1, 1, false, fanOut), name+".bn2", false)
	return s.addReLU(y, s.shortCut(x, name, out, stride, fanOut))
}

// bottleneck is a residual block whose 3x3 convolution is between two of 1x1. The stride is
// at the 3x3, as in torchvision.
func (s *scope) bottleneck(x value, name string, width, stride int) value {
	y := s.batchNorm(s.conv(x, name+".conv1", width, 1, 1, 0, false, true), name+".bn1", true)
	y = s.batchNorm(s.conv(y, name+".conv2", width, 3, stride, 1, false, true), name+".bn2", true)
	y = s.batchNorm(s.conv(y, name+".conv3", width*expansion, 1, 1, 0, false, true), name+".bn3", false)
	return s.addReLU(y, s.shortCut(x, name, width*expansion, stride, true))
}

// shortCut is x itself, or a 1x1 convolution of it where the shape changes.
func (s *scope) shortCut(x value, name string, out, stride int, fanOut bool) value {
	if x.shape[0] == out && stride == 1 {
		return x
	}
	return s.batchNorm(s.conv(x, name+".downsample.0", out, 1, stride, 0, false, fanOut), name+".downsample.1", false)
}
