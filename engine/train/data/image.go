package data

// Image is a picture of 8-bit red, green and blue.
type Image struct {
	W, H int    // size in pixels
	Pix  []byte // (H, W, 3)
}

// Resize sets the size and keeps the memory of Pix if it suffices; what Pix then holds is
// not defined.
func (m *Image) Resize(w, h int) {
	m.W, m.H = w, h
	m.Pix = grow(m.Pix, 3*w*h)
}

// row returns the pixels of row y.
func (m *Image) row(y int) []byte { return m.Pix[3*y*m.W : 3*(y+1)*m.W] }

// grow returns a slice of n elements, b itself where its memory suffices.
func grow[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}

// cropTo makes dst the w x h window of src whose corner is (left, top). What lies outside
// of src becomes the fill colour.
func cropTo(dst, src *Image, left, top, w, h int, fill [3]byte) {
	dst.Resize(w, h)
	x0, x1 := min(max(-left, 0), w), max(min(src.W-left, w), 0)
	if x0 > 0 || x1 < w || top < 0 || top+h > src.H {
		dst.fill(fill)
	}
	if x0 >= x1 {
		return
	}
	for y := max(-top, 0); y < min(src.H-top, h); y++ {
		from := src.row(y + top)
		copy(dst.row(y)[3*x0:3*x1], from[3*(x0+left):3*(x1+left)])
	}
}

func (m *Image) fill(c [3]byte) {
	for i := 0; i < len(m.Pix); i += 3 {
		m.Pix[i], m.Pix[i+1], m.Pix[i+2] = c[0], c[1], c[2]
	}
}

// mirror swaps left and right in place.
func (m *Image) mirror() {
	for y := range m.H {
		row := m.row(y)
		for a, b := 0, len(row)-3; a < b; a, b = a+3, b-3 {
			row[a], row[b] = row[b], row[a]
			row[a+1], row[b+1] = row[b+1], row[a+1]
			row[a+2], row[b+2] = row[b+2], row[a+2]
		}
	}
}

// turn is one of the eight ways to lay a picture on a grid: an optional exchange of rows
// and columns, followed by mirroring in x and in y.
type turn struct{ swap, flipX, flipY bool }

// turnTo makes dst the turned src.
func turnTo(dst, src *Image, t turn) {
	resizeTurned(dst, src.W, src.H, t)
	for y := range src.H {
		turnRow(dst, src.row(y), y, t)
	}
}

// resizeTurned makes room for a picture of w x h pixels once it is turned.
func resizeTurned(dst *Image, w, h int, t turn) {
	if t.swap {
		w, h = h, w
	}
	dst.Resize(w, h)
}

// turnRow writes row y of a picture to where its pixels are once it is turned.
func turnRow(dst *Image, row []byte, y int, t turn) {
	at, step := 3*y*dst.W, 3
	if t.swap {
		at, step = 3*y, 3*dst.W
	}
	if x := at / 3 % dst.W; t.flipX {
		at += 3 * (dst.W - 1 - 2*x)
	}
	if line := at / 3 / dst.W; t.flipY {
		at += 3 * dst.W * (dst.H - 1 - 2*line)
	}
	if t.swap && t.flipY || !t.swap && t.flipX {
		step = -step
	}
	for i := 0; i < len(row); i, at = i+3, at+step {
		copy(dst.Pix[at:at+3], row[i:i+3])
	}
}
