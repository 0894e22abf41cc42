package job

import (
	"fmt"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/net"
)

// known is what the data tells about the model. What is zero is not known.
type known struct {
	image    []int // channels, height, width
	features int   // numbers of a sample
	outputs  int   // classes, or values with regression
	labels   []string
	vocab    int
	context  int
}

func (d *Images) channels() int {
	if d.Gray {
		return 1
	}
	return 3
}

// known returns what the job tells before the data is opened.
func (j *Job) known() known {
	d := &j.Data
	switch {
	case d.Images != nil:
		image := []int{d.Images.channels(), d.Images.Size[0], d.Images.Size[1]}
		return known{image: image, features: image[0] * image[1] * image[2]}
	case d.Text != nil:
		k := known{}
		if d.Text.bytes() {
			k.vocab = bytesVocab
		}
		if j.Model.Llama == nil || j.Model.Llama.Context < d.Text.Length {
			k.context = d.Text.Length // more is allowed
		}
		return k
	case d.CSV != nil && d.CSV.text():
		k := known{}
		if d.CSV.bytes() {
			k.vocab = bytesVocab
		}
		if j.Model.Bert == nil || j.Model.Bert.Context < d.CSV.Length {
			k.context = d.CSV.Length
		}
		return k
	}
	return known{}
}

// filler fills in what the job leaves to the data.
type filler struct{ check }

func (f *filler) number(key string, v *int, want int) {
	switch {
	case want == 0 || *v == want:
	case *v == 0:
		*v = want
	default:
		f.add(key, "is %d, the data makes it %d: leave it out", *v, want)
	}
}

func (f *filler) image(key string, v *[]int, want []int) {
	switch {
	case len(want) == 0 || slices.Equal(*v, want):
	case len(*v) == 0:
		*v = slices.Clone(want)
	default:
		f.add(key, "is %v, the data makes it %v: leave it out", *v, want)
	}
}

// model returns the configuration of the model with what is known filled in, as net takes
// it, and the contradictions. The job is not changed.
func (j *Job) model(k known) (net.Config, []error) {
	f := &filler{check{job: j}}
	c := j.Model
	switch {
	case strings.HasPrefix(c.Kind, net.KindResNet):
		m := net.ResNet{}
		if c.ResNet != nil {
			m = *c.ResNet
		}
		depth := map[string]int{"resnet18": 18, "resnet34": 34, "resnet50": 50}[c.Kind]
		if depth != 0 && m.Depth != 0 && m.Depth != depth {
			f.add("model.resnet.depth", "is %d for kind %s: leave it out", m.Depth, c.Kind)
		} else if depth != 0 {
			m.Depth = depth
		}
		f.image("model.resnet.input", &m.Input, k.image)
		f.number("model.resnet.classes", &m.Classes, k.outputs)
		c.Kind, c.ResNet = net.KindResNet, &m
	case c.Kind == net.KindCNN && c.CNN != nil:
		m := *c.CNN
		f.image("model.cnn.input", &m.Input, k.image)
		f.number("model.cnn.classes", &m.Classes, k.outputs)
		c.CNN = &m
	case c.Kind == net.KindMLP && c.MLP != nil:
		m := *c.MLP
		f.number("model.mlp.input", &m.Input, k.features)
		f.number("model.mlp.output", &m.Output, k.outputs)
		c.MLP = &m
	case c.Kind == net.KindLlama && c.Llama != nil:
		m := *c.Llama
		f.number("model.llama.vocab", &m.Vocab, k.vocab)
		f.number("model.llama.context", &m.Context, k.context)
		c.Llama = &m
	case c.Kind == net.KindBert && c.Bert != nil:
		m := *c.Bert
		f.number("model.bert.vocab", &m.Vocab, k.vocab)
		f.number("model.bert.context", &m.Context, k.context)
		switch {
		case len(k.labels) == 0 || slices.Equal(m.Labels, k.labels):
		case len(m.Labels) == 0:
			m.Labels = slices.Clone(k.labels)
		default:
			f.add("model.bert.labels", "are %.200s, the data makes them %.200s: leave them out", fmt.Sprintf("%q", m.Labels), fmt.Sprintf("%q", k.labels))
		}
		c.Bert = &m
	}
	return c, f.errs
}

// labelKind is the kind of the column to be predicted.
func (j *Job) labelKind() data.Kind {
	if m := j.Model.MLP; m != nil && m.Regression {
		return data.Number
	}
	return data.Category
}
