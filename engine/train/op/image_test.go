package op_test

import (
	"fmt"
	"math"
	"slices"

	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/op"
)

func imageChecks() []check {
	list := []check{
		{
			name: "convolution with bias", shapes: [][]int{{2, 3, 6, 5}, {4, 3, 3, 3}, {4}}, tol: 1e-4,
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.Conv(g, in[0], in[1], in[2], 1, 1) },
			ref:   func(in [][]float64) []float64 { return refConv(in[0], in[1], in[2], [4]int{2, 3, 6, 5}, 4, 3, 1, 1) },
		},
		{
			name: "batch norm", shapes: [][]int{{3, 4, 3, 5}, {4}, {4}}, tol: 2e-4,
			build: batchNorm(false), ref: refBatchNorm(false),
		},
		{
			name: "batch norm with ReLU", shapes: [][]int{{3, 4, 3, 5}, {4}, {4}}, tol: 2e-4,
			build: batchNorm(true), ref: refBatchNorm(true),
		},
		{
			name: "global average pooling", shapes: [][]int{{2, 3, 4, 5}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.GlobalAvgPool(g, in[0]) },
			ref:   func(in [][]float64) []float64 { return refPool(in[0], 6, 4, 5, 0, 1, 0, mean) },
		},
		{
			name: "flatten", shapes: [][]int{{2, 3, 2, 2}, {4, 12}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node {
				return op.Linear(g, op.Flatten(g, in[0]), in[1], nil)
			},
			ref: func(in [][]float64) []float64 { return refLinear(in[0], in[1], nil, 2, 12, 4) },
		},
		{
			name: "residual block", shapes: [][]int{{2, 2, 4, 4}, {2, 2, 3, 3}, {2, 2, 1, 1}}, tol: 1e-4,
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node {
				return op.AddReLU(g, op.Conv(g, in[0], in[1], nil, 1, 1), op.Conv(g, in[0], in[2], nil, 1, 0))
			},
			ref: func(in [][]float64) []float64 {
				a, b := refConv(in[0], in[1], nil, [4]int{2, 2, 4, 4}, 2, 3, 1, 1), refConv(in[0], in[2], nil, [4]int{2, 2, 4, 4}, 2, 1, 1, 0)
				return zip(a, b, func(a, b float64) float64 { return max(0, a+b) })
			},
		},
	}
	for _, c := range []struct{ k, stride, pad int }{{1, 1, 0}, {1, 2, 0}, {3, 1, 1}, {3, 2, 1}, {7, 2, 3}} {
		list = append(list, check{
			name: fmt.Sprintf("convolution %dx%d stride %d", c.k, c.k, c.stride), shapes: [][]int{{2, 3, 7, 8}, {5, 3, c.k, c.k}}, tol: 1e-4,
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node {
				return op.Conv(g, in[0], in[1], nil, c.stride, c.pad)
			},
			ref: func(in [][]float64) []float64 {
				return refConv(in[0], in[1], nil, [4]int{2, 3, 7, 8}, 5, c.k, c.stride, c.pad)
			},
		})
	}
	for _, c := range []struct{ k, stride, pad int }{{2, 2, 0}, {3, 2, 1}} {
		list = append(list, check{
			name: fmt.Sprint("max pooling ", c.k), shapes: [][]int{{2, 2, 6, 7}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.MaxPool(g, in[0], c.k, c.stride, c.pad) },
			ref:   func(in [][]float64) []float64 { return refPool(in[0], 4, 6, 7, c.k, c.stride, c.pad, slices.Max) },
		}, check{
			name: fmt.Sprint("average pooling ", c.k), shapes: [][]int{{2, 2, 6, 7}},
			build: func(g *graph.Graph, in []*graph.Node) *graph.Node { return op.AvgPool(g, in[0], c.k, c.stride, c.pad) },
			ref: func(in [][]float64) []float64 {
				return refPool(in[0], 4, 6, 7, c.k, c.stride, c.pad, func(x []float64) float64 {
					return mean(x) * float64(len(x)) / float64(c.k*c.k)
				})
			},
		})
	}
	return list
}

func mean(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}

func refConv(x, w, b []float64, in [4]int, out, k, stride, pad int) []float64 {
	n, c, h, wd := in[0], in[1], in[2], in[3]
	oh, ow := (h+2*pad-k)/stride+1, (wd+2*pad-k)/stride+1
	var y []float64
	for i := range n {
		for o := range out {
			for r := range oh {
				for q := range ow {
					s := 0.0
					for ch := range c {
						for a := range k {
							for e := range k {
								if u, v := r*stride+a-pad, q*stride+e-pad; u >= 0 && u < h && v >= 0 && v < wd {
									s += x[((i*c+ch)*h+u)*wd+v] * w[((o*c+ch)*k+a)*k+e]
								}
							}
						}
					}
					if b != nil {
						s += b[o]
					}
					y = append(y, s)
				}
			}
		}
	}
	return y
}

// refPool pools windows of k by k, or whole planes with k 0.
func refPool(x []float64, planes, h, w, k, stride, pad int, f func([]float64) float64) []float64 {
	var y []float64
	for p := range planes {
		plane := x[p*h*w : (p+1)*h*w]
		if k == 0 {
			y = append(y, f(plane))
			continue
		}
		for r := 0; r*stride+k <= h+2*pad; r++ {
			for q := 0; q*stride+k <= w+2*pad; q++ {
				var in []float64
				for a := range k {
					for b := range k {
						if u, v := r*stride+a-pad, q*stride+b-pad; u >= 0 && u < h && v >= 0 && v < w {
							in = append(in, plane[u*w+v])
						}
					}
				}
				y = append(y, f(in))
			}
		}
	}
	return y
}

func batchNorm(relu bool) func(g *graph.Graph, in []*graph.Node) *graph.Node {
	return func(g *graph.Graph, in []*graph.Node) *graph.Node {
		return op.BatchNorm(g, in[0], in[1], in[2], op.BatchNormConfig{Eps: 1e-5, Momentum: 0.1, ReLU: relu, Mean: make([]float32, 4), Var: make([]float32, 4)})
	}
}

// refBatchNorm is for three images of 4 channels of 15.
func refBatchNorm(relu bool) func(in [][]float64) []float64 {
	return func(in [][]float64) []float64 {
		y := make([]float64, len(in[0]))
		for c := range 4 {
			var all []float64
			for n := range 3 {
				all = append(all, in[0][(n*4+c)*15:(n*4+c+1)*15]...)
			}
			m, v := mean(all), 0.0
			for _, x := range all {
				v += (x - m) * (x - m) / 45
			}
			for n := range 3 {
				for i := range 15 {
					k := (n*4+c)*15 + i
					y[k] = (in[0][k]-m)/math.Sqrt(v+1e-5)*in[1][c] + in[2][c]
					if relu {
						y[k] = max(0, y[k])
					}
				}
			}
		}
		return y
	}
}
