package net

import (
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/kernel"
)

func (c *CNN) task() Task   { return Classify }
func (c *CNN) input() []int { return c.Input }
func (c *CNN) context() int { return 0 }
func (c *CNN) outputs() int { return c.Classes }

// full returns a layer with its absent values filled in.
func (l Layer) full() Layer {
	one := func(v *int, otherwise int) {
		if *v == 0 {
			*v = otherwise
		}
	}
	pad := 0
	switch l.Type {
	case LayerConv:
		one(&l.Kernel, 3)
		one(&l.Stride, 1)
		pad = l.Kernel / 2
	case LayerMaxPool, LayerAvgPool:
		one(&l.Kernel, 2)
		one(&l.Stride, l.Kernel)
	case LayerResidual:
		one(&l.Stride, 1)
	}
	if l.Pad == nil {
		l.Pad = &pad
	}
	if l.Bias == nil {
		bias := l.Type != LayerConv || !l.Norm
		l.Bias = &bias
	}
	return l
}

// validate also follows the shape through the layers.
func (c *CNN) validate(p *problems) {
	p.in("classes", c.Classes, 1, maxWidth)
	p.in("number of layers", len(c.Layers), 0, maxLayers)
	if !p.image("input", c.Input) || len(c.Layers) > maxLayers {
		return
	}
	shape := c.Input
	outer := p.prefix
	for i, l := range c.Layers {
		p.prefix = outer + block("layer %d (%.20s): ", i+1, l.Type)
		before := len(p.errs)
		l.checkKeys(p)
		shape = l.full().validate(p, shape)
		if len(p.errs) == before && (value{shape: shape}).features() > maxPixels {
			p.add("makes %v, more than %d elements", shape, maxPixels)
		}
		if len(p.errs) > before {
			break // the shape is not known any more
		}
	}
	p.prefix = outer
}

// checkKeys refuses keys that other types have.
func (l Layer) checkKeys(p *problems) {
	window := []string{LayerConv, LayerMaxPool, LayerAvgPool}
	known := slices.Contains(append([]string{LayerGlobalPool, LayerResidual, LayerFlatten, LayerLinear, LayerDropout}, window...), l.Type)
	for _, k := range []struct {
		name  string
		set   bool
		types []string
	}{
		{"channels", l.Channels != 0, []string{LayerConv, LayerResidual, LayerLinear}},
		{"kernel", l.Kernel != 0, window},
		{"stride", l.Stride != 0, []string{LayerConv, LayerMaxPool, LayerAvgPool, LayerResidual}},
		{"pad", l.Pad != nil, window},
		{"bias", l.Bias != nil, []string{LayerConv, LayerLinear}},
		{"norm", l.Norm, []string{LayerConv}},
		{"relu", l.ReLU, []string{LayerConv, LayerLinear}},
		{"rate", l.Rate != 0, []string{LayerDropout}},
	} {
		if known && k.set && !slices.Contains(k.types, l.Type) {
			p.add("%s belongs to %s", k.name, strings.Join(k.types, ", "))
		}
	}
}

// validate checks a layer after a shape and returns the shape after it.
func (l Layer) validate(p *problems, shape []int) []int {
	planes := len(shape) == 3
	needs := func(want bool, what string) bool {
		if !want {
			p.add("input has shape %v, want %s", shape, what)
		}
		return want
	}
	switch l.Type {
	case LayerConv, LayerMaxPool, LayerAvgPool, LayerResidual:
		if !needs(planes, "channels, height and width") {
			return shape
		}
		return l.validateWindow(p, shape)
	case LayerGlobalPool, LayerFlatten:
		if !needs(planes, "channels, height and width") {
			return shape
		}
		if l.Type == LayerGlobalPool {
			return shape[:1]
		}
		return []int{shape[0] * shape[1] * shape[2]}
	case LayerLinear:
		p.in("channels", l.Channels, 1, maxWidth)
		needs(!planes, "a vector: put a flatten or globalpool layer before")
		return []int{l.Channels}
	case LayerDropout:
		p.rate("rate", l.Rate)
	default:
		p.oneOf("type", l.Type, LayerConv, LayerMaxPool, LayerAvgPool, LayerGlobalPool, LayerResidual, LayerFlatten, LayerLinear, LayerDropout)
	}
	return shape
}

func (l Layer) validateWindow(p *problems, shape []int) []int {
	c, k, pad := l.Channels, l.Kernel, *l.Pad
	switch l.Type {
	case LayerResidual:
		k, pad = 3, 1
	case LayerMaxPool, LayerAvgPool:
		c = shape[0]
		p.in("pad", pad, 0, k/2)
	}
	p.in("channels", c, 1, maxWidth)
	p.in("kernel", k, 1, maxSide)
	p.in("stride", l.Stride, 1, maxSide)
	p.in("pad", pad, 0, maxSide)
	if k > shape[1]+2*pad || k > shape[2]+2*pad {
		p.add("kernel %d is larger than the image of %dx%d with padding %d", k, shape[1], shape[2], pad)
	}
	if len(p.errs) > 0 {
		return shape
	}
	return []int{c, (shape[1]+2*pad-k)/l.Stride + 1, (shape[2]+2*pad-k)/l.Stride + 1}
}

func (c *CNN) forward(s *scope, x value) value {
	count := map[string]int{}
	for _, l := range c.Layers {
		l = l.full()
		count[l.Type]++
		x = s.layer(x, l, count[l.Type])
	}
	if len(x.shape) == 3 {
		x = s.globalPool(x)
	}
	return s.linear(x, "fc", c.Classes, true)
}

// layer is the nth layer of its type.
func (s *scope) layer(x value, l Layer, n int) value {
	name := func(format string) string {
		if l.Name != "" {
			return l.Name
		}
		return block(format, n)
	}
	switch l.Type {
	case LayerConv:
		x = s.conv(x, name("conv%d"), l.Channels, l.Kernel, l.Stride, *l.Pad, *l.Bias, false)
		if l.Norm {
			return s.batchNorm(x, block("bn%d", n), l.ReLU)
		}
	case LayerMaxPool:
		return s.maxPool(x, l.Kernel, l.Stride, *l.Pad)
	case LayerAvgPool:
		return s.avgPool(x, l.Kernel, l.Stride, *l.Pad)
	case LayerGlobalPool:
		return s.globalPool(x)
	case LayerResidual:
		return s.basic(x, name("block%d"), l.Channels, l.Stride, false)
	case LayerFlatten:
		return s.flatten(x)
	case LayerLinear:
		x = s.linear(x, name("linear%d"), l.Channels, *l.Bias)
	case LayerDropout:
		return s.dropout(x, l.Rate)
	}
	if l.ReLU {
		return s.activate(x, kernel.ActReLU.String())
	}
	return x
}
