package net

import "github.com/covey-network/covey/engine/kernel"

func (c *MLP) validate(p *problems) {
	p.in("input", c.Input, 1, maxWidth)
	p.in("output", c.Output, 1, maxWidth)
	p.in("number of hidden layers", len(c.Hidden), 0, maxLayers)
	for _, w := range c.Hidden {
		p.in("hidden width", w, 1, maxWidth)
	}
	if c.Activation != "" {
		if _, err := kernel.ParseActivation(c.Activation); err != nil {
			p.add("%w", err)
		}
	}
	p.rate("dropout", c.Dropout)
}

func (c *MLP) task() Task {
	if c.Regression {
		return Regress
	}
	return Classify
}

func (c *MLP) input() []int { return []int{c.Input} }
func (c *MLP) context() int { return 0 }
func (c *MLP) outputs() int { return c.Output }

func (c *MLP) forward(s *scope, x value) value {
	act := c.Activation
	if act == "" {
		act = kernel.ActReLU.String()
	}
	for i, w := range c.Hidden {
		x = s.linear(x, block("fc%d", i+1), w, true)
		x = s.dropout(s.activate(x, act), c.Dropout)
	}
	return s.linear(x, block("fc%d", len(c.Hidden)+1), c.Output, true)
}
