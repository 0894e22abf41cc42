package codec_test

import (
	"fmt"

	"github.com/covey-network/covey/consensus/codec"
)

// Two peers hold the same bits of an update that one of them sent.
func ExampleNew() {
	c, err := codec.New("topk:0.02:2", codec.Layout{{Rows: 100, Cols: 80}, {Rows: 1, Cols: 100}})
	if err != nil {
		fmt.Println(err)
		return
	}
	update := make([]float32, c.Len())
	for i := range update {
		update[i] = float32(i%97) / 1000
	}

	sender := c.Encoder(true)
	const first, n = 4000, 4100 // the slice of one owner
	sent, err := sender.Encode(nil, first, update[first:first+n], 1)
	if err != nil {
		fmt.Println(err)
		return
	}

	received := make([]float32, n)
	if err := c.Decode(received, first, sent); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(sent), c.Size(first, n), same(received, update[first:first+n]))
	// Output: 107 107 true
}

// What each codec makes of vectors of 1 and 25 million values in bytes, and what it loses of
// a Gaussian vector and of one with heavy tails (Student's t, 4 degrees of freedom), both of
// 1 million values in a matrix of 1000 rows: without feedback, and of the mean over 16 rounds
// with feedback. Such vectors have no structure; powersgd lives on that of real updates.
func ExampleCodec_Size() {
	const million, rounds = 1_000_000, 16
	fmt.Println("codec            1M bytes   25M bytes   times  Gaussian  heavy  Gaussian, 16  heavy, 16")
	for _, name := range []string{"f32", "f16", "int8", "sign", "topk:0.05:4", "topk:0.02:2", "topk:0.01:2", "powersgd:4", "powersgd:16"} {
		small, err := codec.New(name, codec.Layout{{Rows: 1000, Cols: 1000}})
		if err != nil {
			fmt.Println(err)
			return
		}
		large, err := codec.New(name, codec.Layout{{Rows: 5000, Cols: 5000}})
		if err != nil {
			fmt.Println(err)
			return
		}
		var once, later []float64
		for _, values := range [][]float32{gaussian(million, 1), heavy(million, 1)} {
			e, x, mean := small.Encoder(true), make([]float32, million), make([]float32, million)
			for round := range uint64(rounds) {
				copy(x, values)
				if _, err := e.Encode(nil, 0, x, round); err != nil {
					fmt.Println(err)
					return
				}
				if round == 0 {
					once = append(once, distance(x, values))
				}
				for i, v := range x {
					mean[i] += v / rounds
				}
			}
			later = append(later, distance(mean, values))
		}
		n := large.Size(0, large.Len())
		fmt.Printf("%-12s %12d %11d %7.1f %9.4f %6.4f %13.4f %10.4f\n", small.Name(), small.Size(0, million), n, 4*25e6/float64(n), once[0], once[1], later[0], later[1])
	}
	// Output:
	// codec            1M bytes   25M bytes   times  Gaussian  heavy  Gaussian, 16  heavy, 16
	// f32               4000001   100000001     1.0    0.0000 0.0000        0.0000     0.0000
	// f16               2000001    50000001     2.0    0.0002 0.0002        0.0000     0.0000
	// int8              1015629    25390629     3.9    0.0098 0.0182        0.0006     0.0011
	// sign               132817     3320317    30.1    0.6018 0.7049        0.1959     0.3619
	// topk:0.05:4         64945     1623538    61.6    0.8501 0.7354        0.4195     0.3576
	// topk:0.02:2         24663      616459   162.2    0.9265 0.8383        0.6508     0.5583
	// topk:0.01:2         13920      347904   287.4    0.9580 0.8852        0.7769     0.6792
	// powersgd:4           8129       40641  2460.6    0.9944 0.9943        0.9533     0.9522
	// powersgd:16         32513      162561   615.2    0.9777 0.9772        0.8229     0.8217
}
