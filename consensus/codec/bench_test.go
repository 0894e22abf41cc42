package codec_test

import (
	"testing"

	"github.com/covey-network/covey/consensus/codec"
)

// BenchmarkEncode and BenchmarkDecode take a vector of 25 million values; rates are of its
// bytes as float32.
func BenchmarkEncode(b *testing.B) {
	const n = 25_000_000
	for _, feedback := range []bool{false, true} {
		for _, name := range benchNames {
			title := name
			if feedback {
				title += "/feedback"
			}
			b.Run(title, func(b *testing.B) {
				c, err := codec.New(name, codec.Layout{{5000, 5000}})
				if err != nil {
					b.Fatal(err)
				}
				e, x, dst := c.Encoder(feedback), make([]float32, n), make([]byte, 0, c.Size(0, n))
				values := gaussian(n, 1)
				b.SetBytes(4 * n)
				for seed := uint64(0); b.Loop(); seed++ {
					b.StopTimer() // encoding changes the values
					copy(x, values)
					b.StartTimer()
					if _, err := e.Encode(dst, 0, x, seed); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	const n = 25_000_000
	for _, name := range benchNames {
		b.Run(name, func(b *testing.B) {
			c, err := codec.New(name, codec.Layout{{5000, 5000}})
			if err != nil {
				b.Fatal(err)
			}
			x := gaussian(n, 1)
			coded, err := c.Encoder(false).Encode(nil, 0, x, 1)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(4 * n)
			for b.Loop() {
				if err := c.Decode(x, 0, coded); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var benchNames = []string{"f32", "f16", "int8", "sign", "topk:0.02:2", "powersgd:4"}
