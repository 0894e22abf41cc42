package kernel

import (
	"encoding/binary"
	"fmt"

	"github.com/covey-network/covey/engine/tensor"
)

// quantMatrix is a matrix of a block type in groups of 16 rows, see [quantFormat]. Rows
// beyond the last are zero.
type quantMatrix struct {
	format *quantFormat
	rows   int
	cells  int    // of a row
	scales []byte // (groups, cells, scaleBytes)
	planes []byte // (groups, columns / 32, subBytes), starts on a multiple of 64
}

// quantGroup is the packed form of 16 rows.
type quantGroup struct {
	scales, planes []byte
}

// packQuant packs row-major blocks; the caller has checked the size of data.
func packQuant(d tensor.DType, rows, cols int, data []byte) (*quantMatrix, error) {
	f := formatOf(d)
	if f == nil {
		return nil, fmt.Errorf("matrix of %s: this type has no kernel, it can only be dequantised", d)
	}
	m := &quantMatrix{format: f, rows: rows, cells: cols / f.len}
	scaleBytes := m.groups() * m.cells * f.scaleBytes()
	planesAt := (scaleBytes + stepBytes - 1) / stepBytes * stepBytes
	packed := weightBytes(planesAt + m.groups()*m.cells*f.planeBytes())
	m.scales, m.planes = packed[:scaleBytes:scaleBytes], packed[planesAt:]
	blockBytes := d.BlockBytes()
	var cell quantCell
	for r := range rows {
		group := m.group(r / lanes)
		for c := range m.cells {
			at := (r*m.cells + c) * blockBytes
			cell.decode(d, data[at:at+blockBytes])
			f.packScales(group.scales[c*f.scaleBytes():], r%lanes, &cell)
			f.packPlanes(group.planes[c*f.planeBytes():], r%lanes, &cell)
		}
	}
	settle(packed)
	return m, nil
}

func (m *quantMatrix) groups() int { return (m.rows + lanes - 1) / lanes }

// group returns the packed rows 16g to 16g+15.
func (m *quantMatrix) group(g int) quantGroup {
	ns, np := m.cells*m.format.scaleBytes(), m.cells*m.format.planeBytes()
	return quantGroup{m.scales[g*ns : (g+1)*ns], m.planes[g*np : (g+1)*np]}
}

// groupBytes returns the size of a group.
func (m *quantMatrix) groupBytes() int {
	return m.cells * (m.format.scaleBytes() + m.format.planeBytes())
}

func (m *quantMatrix) bytes() int64 { return int64(len(m.scales) + len(m.planes)) }

// packScales writes the scales of a row to the scales of a cell.
func (f *quantFormat) packScales(dst []byte, row int, c *quantCell) {
	binary.LittleEndian.PutUint16(dst[2*row:], c.d)
	dst = dst[2*lanes:]
	if f.mins {
		binary.LittleEndian.PutUint16(dst[2*row:], c.dmin)
		dst = dst[2*lanes:]
	}
	for j := range f.subs {
		dst[row] = c.subs[j]
		dst = dst[lanes:]
		if f.wideMins {
			dst[row] = c.mins[j]
			dst = dst[lanes:]
		}
	}
}

// packPlanes writes the codes of a row to the planes of a cell.
func (f *quantFormat) packPlanes(dst []byte, row int, c *quantCell) {
	for at := 0; at < f.len; at += subLen {
		codes := (*[subLen]uint8)(c.codes[at:])
		if f.nibbles {
			packNibbles((*[4 * stepBytes]byte)(dst), row, codes)
			dst = dst[4*stepBytes:]
		}
		if f.pairs >= 0 {
			packPairs((*[2 * stepBytes]byte)(dst), row, codes, f.pairs)
			dst = dst[2*stepBytes:]
		}
		if f.bit >= 0 {
			packBits((*[stepBytes]byte)(dst), row, codes, f.bit)
			dst = dst[stepBytes:]
		}
		if f.bytes {
			for s := range steps {
				*(*[4]byte)(dst[s*stepBytes+4*row:]) = [4]byte(codes[4*s:])
			}
			dst = dst[8*stepBytes:]
		}
	}
}

// Each of the following handles the four columns of a step as one little-endian word.

func packNibbles(dst *[4 * stepBytes]byte, row int, codes *[subLen]uint8) {
	le := binary.LittleEndian
	for v := range 4 {
		lo, hi := le.Uint32(codes[4*v:]), le.Uint32(codes[16+4*v:])
		le.PutUint32(dst[v*stepBytes+4*row:], lo&0x0f0f0f0f|hi&0x0f0f0f0f<<4)
	}
}

func packPairs(dst *[2 * stepBytes]byte, row int, codes *[subLen]uint8, pos int) {
	le := binary.LittleEndian
	for v := range 2 {
		var w uint32
		for i := range 4 {
			w |= le.Uint32(codes[16*v+4*i:]) >> pos & 0x03030303 << (2 * i)
		}
		le.PutUint32(dst[v*stepBytes+4*row:], w)
	}
}

func packBits(dst *[stepBytes]byte, row int, codes *[subLen]uint8, pos int) {
	le := binary.LittleEndian
	var w uint32
	for i := range steps {
		w |= le.Uint32(codes[4*i:]) >> pos & 0x01010101 << i
	}
	le.PutUint32(dst[4*row:], w)
}
