// Package codec turns update vectors of float32 into few bytes and back, for peers that train
// together. A [Codec] is what a job agreed on, by name:
//
//	f32            as they are
//	f16            float16, rounded to nearest; saturates at 65504
//	int8           8 bits a value and a scale for each 256, rounded at random: the mean is right
//	sign           1 bit a value and a scale for each 512
//	topk:0.02:2    the largest 2 % of each 4096 values, in 2 bits each (2 to 8)
//	powersgd:4     matrices as products of rank 4 where that halves them; all else as int8
//
// Any range of a vector is encoded by itself, in a number of bytes that depends on the codec,
// the layout and the range alone ([Codec.Size]): whoever receives it knows the length before.
// What an [Encoder] writes it also leaves in the vector it was given: the sender goes on with
// the same bits as those who decode. With feedback an encoder keeps what was lost and adds it
// to the next vector, which all codecs but f32, f16 and int8 need to train well.
//
// The same values and seed give the same bytes on every machine, and the same bytes the same
// values: a hash of the bytes commits to the values. Bytes may come from anyone: [Codec.Decode]
// refuses what no encoder writes for want of length, order, range or finite numbers, and
// padding that is not zero; it allocates nothing that grows with what it is told. It cannot see
// whether an encoder chose the best scale.
//
// A Codec is immutable and safe for concurrent use, an Encoder is for one goroutine at a time.
// Packages below consensus and node/trainer import it.
package codec
