package kernel

import "github.com/covey-network/covey/engine/tensor"

// subLen is the number of columns whose products are summed as integers: the length of a
// block of activations, and of the small block types.
const subLen = 32

// steps is the number of groups of four columns in a block of 32. A register holds one
// step of a group of rows: four consecutive columns for each of the 16 rows.
const (
	steps     = subLen / 4
	stepBytes = lanes * 4
)

// quantFormat describes how a block type is packed. A group of 16 rows is a run of cells,
// one for each block of the file's type. The scales of all cells of all groups come first,
// padded to 64 bytes, then the bit planes of all cells, so that a product reads two
// streams without a gap. Within a cell:
//
//	scales: d, 16 halves; dmin, 16 halves (if mins); sub-scales, 16 bytes for each
//	sub-block (a second 16 bytes of sub-mins each if wideMins)
//	planes, for each 32 columns: the 4-bit, 2-bit, 1-bit or 8-bit planes below
//
// Vectors of 64 bytes hold 16 rows times 4 columns. The 4-bit plane is 4 vectors, step i
// in the low and step i+4 in the high nibble of vector i. The 2-bit plane is 2 vectors,
// step i in bits 2(i%4) of vector i/4. The 1-bit plane is one vector, step i in bit i. The
// 8-bit plane is 8 vectors.
type quantFormat struct {
	dtype    tensor.DType
	len      int   // columns of a cell: 32 or 256
	nibbles  bool  // has a 4-bit plane
	pairs    int   // position of the 2-bit plane in the code, -1: none
	bit      int   // position of the 1-bit plane in the code, -1: none
	bytes    bool  // has an 8-bit plane
	table    bool  // codes look up iq4Table
	zero     int32 // code that stands for 0; a power of two or 0
	halves   bool  // a scale (and min) for each 16 columns instead of 32
	mins     bool  // weight = d*sub*code - dmin*subMin
	subs     int   // sub-scales of a cell; 0: d is the only scale
	wideMins bool  // sub-mins in bytes of their own, else in the high nibble of the sub-scale
}

// iq4Table holds the values of the codes of IQ4_NL and IQ4_XS, plus 128 (llama.cpp's
// kvalues_iq4nl, so chosen that they sample a normal distribution).
var iq4Table = [16]uint8{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}

// quantFormats lists the block types that have kernels.
var quantFormats = [...]quantFormat{
	{dtype: tensor.Q4_0, len: 32, nibbles: true, pairs: -1, bit: -1, zero: 8},
	{dtype: tensor.Q4_1, len: 32, nibbles: true, pairs: -1, bit: -1, mins: true},
	{dtype: tensor.Q5_0, len: 32, nibbles: true, pairs: -1, bit: 4, zero: 16},
	{dtype: tensor.Q5_1, len: 32, nibbles: true, pairs: -1, bit: 4, mins: true},
	{dtype: tensor.Q8_0, len: 32, bytes: true, pairs: -1, bit: -1, zero: 128},
	{dtype: tensor.Q2_K, len: 256, pairs: 0, bit: -1, halves: true, mins: true, subs: 16},
	{dtype: tensor.Q3_K, len: 256, pairs: 0, bit: 2, zero: 4, halves: true, subs: 16},
	{dtype: tensor.Q4_K, len: 256, nibbles: true, pairs: -1, bit: -1, mins: true, subs: 8, wideMins: true},
	{dtype: tensor.Q5_K, len: 256, nibbles: true, pairs: -1, bit: 4, mins: true, subs: 8, wideMins: true},
	{dtype: tensor.Q6_K, len: 256, nibbles: true, pairs: 4, bit: -1, zero: 32, halves: true, subs: 16},
	{dtype: tensor.IQ4_NL, len: 32, nibbles: true, pairs: -1, bit: -1, table: true, zero: 128},
	{dtype: tensor.IQ4_XS, len: 256, nibbles: true, pairs: -1, bit: -1, table: true, zero: 128, subs: 8},
}

// formatOf returns the packing of a block type, nil if it has no kernel.
func formatOf(d tensor.DType) *quantFormat {
	for i := range quantFormats {
		if quantFormats[i].dtype == d {
			return &quantFormats[i]
		}
	}
	return nil
}

// scaleBytes returns the size of the scales of a cell.
func (f *quantFormat) scaleBytes() int {
	n := 2 * lanes
	if f.mins {
		n += 2 * lanes
	}
	n += f.subs * lanes
	if f.wideMins {
		n += f.subs * lanes
	}
	return n
}

// subBytes returns the size of the planes of 32 columns.
func (f *quantFormat) subBytes() int {
	n := 0
	if f.nibbles {
		n += 4 * stepBytes
	}
	if f.pairs >= 0 {
		n += 2 * stepBytes
	}
	if f.bit >= 0 {
		n += stepBytes
	}
	if f.bytes {
		n += 8 * stepBytes
	}
	return n
}

// planeBytes returns the size of the planes of a cell.
func (f *quantFormat) planeBytes() int { return f.len / subLen * f.subBytes() }
