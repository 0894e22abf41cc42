package data

import "math"

// matrix maps a point (x, y) of the result to (a x + b y + c, d x + e y + f) of the source.
type matrix [6]float64

// about returns the map of linear part (a, b, d, e) that takes the centre of a w x h image,
// moved by (tx, ty), to the centre.
func about(a, b, d, e float64, w, h int, tx, ty float64) matrix {
	cx, cy := float64(float64(w)*0.5), float64(float64(h)*0.5)
	x, y := -cx-tx, -cy-ty
	return matrix{
		a, b, float64(a*x) + float64(b*y) + cx,
		d, e, float64(d*x) + float64(e*y) + cy,
	}
}

// rotationMatrix is the one of Pillow's Image.rotate: counter-clockwise by degrees about
// the centre, with sine and cosine rounded to 15 decimals.
func rotationMatrix(degrees float64, w, h int) matrix {
	sin, cos := sinCosOf(-degrees)
	sin, cos = math.RoundToEven(sin*1e15)/1e15, math.RoundToEven(cos*1e15)/1e15
	return about(cos, sin, -sin, cos, w, h, 0, 0)
}

// affineMatrix is torchvision's _get_inverse_affine_matrix about the centre: clockwise
// rotation, translation in pixels, scale, and shears along x and y in degrees.
func affineMatrix(degrees, tx, ty, scale, shearX, shearY float64, w, h int) matrix {
	sin, cos := sinCosOf(degrees)
	sinS, cosS := sinCosOf(degrees - shearY)
	sinX, cosX := sinCosOf(shearX)
	_, cosY := sinCosOf(shearY)
	tanX := sinX / cosX
	a := cosS / cosY
	b := float64(-cosS*tanX)/cosY - sin
	c := sinS / cosY
	d := float64(-sinS*tanX)/cosY + cos
	return about(d/scale, -b/scale, -c/scale, a/scale, w, h, tx, ty)
}

// transformTo makes dst, of the size of src, the image under a map as Pillow's
// Image.transform does (libImaging/Geometry.c). Pixels from outside become fill.
func transformTo(dst, src *Image, m matrix, f Filter, fill [3]byte) {
	dst.Resize(src.W, src.H)
	if f == Nearest {
		m.nearest(dst, src, fill)
		return
	}
	for y := range dst.H {
		row := dst.row(y)
		py := float64(y) + 0.5
		for x := range dst.W {
			px := float64(x) + 0.5
			sx := float64(m[0]*px) + float64(m[1]*py) + m[2]
			sy := float64(m[3]*px) + float64(m[4]*py) + m[5]
			out := row[3*x : 3*x+3]
			if sx < 0 || sy < 0 || sx >= float64(src.W) || sy >= float64(src.H) || sx != sx || sy != sy {
				copy(out, fill[:])
				continue
			}
			bilinearAt(out, src, sx-0.5, sy-0.5)
		}
	}
}

// bilinearAt writes the colour between the four pixels about (x, y), pixel centres being
// whole numbers, cut off to whole numbers as Pillow does.
func bilinearAt(out []byte, src *Image, x, y float64) {
	fx, fy := math.Floor(x), math.Floor(y)
	dx, dy := x-fx, y-fy
	x0, x1 := 3*max(int(fx), 0), 3*min(int(fx)+1, src.W-1)
	y0, y1 := max(int(fy), 0), min(int(fy)+1, src.H-1)
	top, bottom := src.row(y0), src.row(y1)
	for i := range out {
		a, b := float64(top[x0+i]), float64(top[x1+i])
		c, d := float64(bottom[x0+i]), float64(bottom[x1+i])
		v1 := a + float64((b-a)*dx)
		v2 := c + float64((d-c)*dx)
		out[i] = byte(v1 + float64((v2-v1)*dy))
	}
}

// nearest takes the pixel a point falls into. Pillow steps through the source in fixed
// point with 16 fraction bits, except that a map without rotation or shear is summed up in
// floating point.
func (m *matrix) nearest(dst, src *Image, fill [3]byte) {
	dst.fill(fill)
	if m[1] == 0 && m[3] == 0 {
		m.nearestScaled(dst, src)
		return
	}
	fix := func(v float64) int64 { return int64(math.Floor(float64(v*65536) + 0.5)) }
	half := matrix{2: m[2] + float64(m[0]*0.5) + float64(m[1]*0.5), 5: m[5] + float64(m[3]*0.5) + float64(m[4]*0.5)}
	x0, y0 := fix(half[2]), fix(half[5])
	dxx, dxy, dyx, dyy := fix(m[0]), fix(m[1]), fix(m[3]), fix(m[4])
	for y := range dst.H {
		row := dst.row(y)
		sx, sy := x0, y0
		for x := range dst.W {
			if px, py := sx>>16, sy>>16; px >= 0 && px < int64(src.W) && py >= 0 && py < int64(src.H) {
				at := 3 * (int(py)*src.W + int(px))
				copy(row[3*x:3*x+3], src.Pix[at:at+3])
			}
			sx, sy = sx+dxx, sy+dyx
		}
		x0, y0 = x0+dxy, y0+dyy
	}
}

func (m *matrix) nearestScaled(dst, src *Image) {
	inside := func(v float64, n int) bool { return v >= 0 && v < float64(n) }
	sy := m[5] + float64(m[4]*0.5)
	for y := range dst.H {
		if row := dst.row(y); inside(sy, src.H) {
			from := src.row(int(sy))
			sx := m[2] + float64(m[0]*0.5)
			for x := range dst.W {
				if inside(sx, src.W) {
					at := 3 * int(sx)
					copy(row[3*x:3*x+3], from[at:at+3])
				}
				sx += m[0]
			}
		}
		sy += m[4]
	}
}
