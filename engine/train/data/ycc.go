package data

import "image"

// rowsOfYCbCr returns a function that converts a row of the planes of a JPEG or of a lossy
// WebP.
func rowsOfYCbCr(m *image.YCbCr, c codec) func(dst []byte, y int) {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	cw := chromaWidth(w, m.SubsampleRatio)
	var up upsampler
	up.cb, up.cr = make([]byte, 2*cw+2), make([]byte, 2*cw+2)
	_, lossy := c.(webpCodec)
	return func(dst []byte, y int) {
		luma := m.Y[y*m.YStride:][:w]
		if lossy {
			up.webpRow(m, cw, w, h, y)
			webpColours(dst, luma, up.cb, up.cr)
			return
		}
		cb, cr := up.jpegRow(m, cw, w, h, y)
		jpegColours(dst, luma, cb, cr)
	}
}

// chromaWidth returns the number of chroma samples in a row of w pixels.
func chromaWidth(w int, r image.YCbCrSubsampleRatio) int {
	switch r {
	case image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio422:
		return (w + 1) / 2
	case image.YCbCrSubsampleRatio410, image.YCbCrSubsampleRatio411:
		return (w + 3) / 4
	}
	return w
}

// upsampler holds one row of chroma at full width.
type upsampler struct {
	cb, cr []byte
	sums   []int32
}

// jpegRow returns the chroma of row y as libjpeg upsamples it by default (jdsample.c): by a
// triangle filter where chroma has half the width or half the height, else by repetition.
func (u *upsampler) jpegRow(m *image.YCbCr, cw, w, h, y int) (cb, cr []byte) {
	plane := func(p []byte, row int) []byte { return p[row*m.CStride:][:cw] }
	switch r := m.SubsampleRatio; {
	case r == image.YCbCrSubsampleRatio422 && cw > 2:
		triangleRow(u.cb, plane(m.Cb, y))
		triangleRow(u.cr, plane(m.Cr, y))
	case r == image.YCbCrSubsampleRatio420 && cw > 2:
		near, far := nearFar(y, h)
		u.sums = grow(u.sums, cw)
		u.triangle2(u.cb, plane(m.Cb, near), plane(m.Cb, far))
		u.triangle2(u.cr, plane(m.Cr, near), plane(m.Cr, far))
	case r == image.YCbCrSubsampleRatio440:
		near, far := nearFar(y, h)
		bias := int32(1 + y%2)
		u.cb, u.cr = grow(u.cb, cw), grow(u.cr, cw)
		triangleColumn(u.cb, plane(m.Cb, near), plane(m.Cb, far), bias)
		triangleColumn(u.cr, plane(m.Cr, near), plane(m.Cr, far), bias)
	case r == image.YCbCrSubsampleRatio444:
		return plane(m.Cb, y), plane(m.Cr, y)
	default:
		u.cb, u.cr = grow(u.cb, w), grow(u.cr, w)
		for x := range w {
			at := m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)
			u.cb[x], u.cr[x] = m.Cb[at], m.Cr[at]
		}
	}
	return u.cb, u.cr
}

// nearFar returns the chroma row that covers row y of h and the one beyond its nearer edge,
// itself at the border.
func nearFar(y, h int) (near, far int) {
	near = y / 2
	if y%2 == 0 {
		return near, max(near-1, 0)
	}
	return near, min(near+1, (h-1)/2)
}

// triangleRow doubles the width with weights 3/4 and 1/4.
func triangleRow(dst, src []byte) {
	n := len(src)
	for i, v := range src {
		c := 3 * int32(v)
		dst[2*i] = byte((c + int32(src[max(i-1, 0)]) + 1) >> 2)
		dst[2*i+1] = byte((c + int32(src[min(i+1, n-1)]) + 2) >> 2)
	}
}

// triangle2 doubles width and height with weights 9/16, 3/16, 3/16 and 1/16.
func (u *upsampler) triangle2(dst, near, far []byte) {
	sums := u.sums[:len(near)]
	far = far[:len(near)]
	for i, v := range near {
		sums[i] = 3*int32(v) + int32(far[i])
	}
	n, last := len(sums), sums[0]
	dst = dst[:2*n]
	for i, s := range sums {
		next := s
		if i+1 < n {
			next = sums[i+1]
		}
		dst[2*i] = byte((3*s + last + 8) >> 4)
		dst[2*i+1] = byte((3*s + next + 7) >> 4)
		last = s
	}
}

func triangleColumn(dst, near, far []byte, bias int32) {
	for i, v := range near {
		dst[i] = byte((3*int32(v) + int32(far[i]) + bias) >> 2)
	}
}

// jpegColours converts a row by the integers of libjpeg (jdcolor.c): 16 fraction bits of
// 1.402, 0.34414, 0.71414 and 1.772.
func jpegColours(dst, luma, cb, cr []byte) {
	cb, cr, dst = cb[:len(luma)], cr[:len(luma)], dst[:3*len(luma)]
	for x, l := range luma {
		y, b, r := int32(l), int32(cb[x])-128, int32(cr[x])-128
		dst[3*x] = clip8(y + (91881*r+32768)>>16)
		dst[3*x+1] = clip8(y + (-22554*b-46802*r+32768)>>16)
		dst[3*x+2] = clip8(y + (116130*b+32768)>>16)
	}
}

func clip8(v int32) byte {
	if uint32(v) <= 255 {
		return byte(v)
	}
	if v < 0 {
		return 0
	}
	return 255
}

// webpRow sets the chroma of row y as libwebp upsamples it by default (dsp/upsampling.c).
func (u *upsampler) webpRow(m *image.YCbCr, cw, w, h, y int) {
	near := y / 2
	far := min(max(near-1+2*(y%2), 0), (h-1)/2)
	webpTriangle(u.cb, m.Cb[near*m.CStride:][:cw], m.Cb[far*m.CStride:][:cw], w)
	webpTriangle(u.cr, m.Cr[near*m.CStride:][:cw], m.Cr[far*m.CStride:][:cw], w)
}

func webpTriangle(dst, near, far []byte, w int) {
	n, f := int32(near[0]), int32(far[0])
	dst[0] = byte((3*n + f + 2) >> 2)
	for i := 1; i <= (w-1)/2; i++ {
		n1, f1 := int32(near[i]), int32(far[i])
		sum := n + n1 + f + f1 + 8
		dst[2*i-1] = byte(((sum+2*(n1+f))>>3 + n) >> 1)
		dst[2*i] = byte(((sum+2*(n+f1))>>3 + n1) >> 1)
		n, f = n1, f1
	}
	if w%2 == 0 {
		dst[w-1] = byte((3*n + f + 2) >> 2)
	}
}

// webpColours converts a row by the integers of libwebp (dsp/yuv.h): BT.601 with luma from
// 16 to 235.
func webpColours(dst, luma, cb, cr []byte) {
	for x, l := range luma {
		y, u, v := int32(l)*19077>>8, int32(cb[x]), int32(cr[x])
		dst[3*x] = clip8((y + v*26149>>8 - 14234) >> 6)
		dst[3*x+1] = clip8((y - u*6419>>8 - v*13320>>8 + 8708) >> 6)
		dst[3*x+2] = clip8((y + u*33050>>8 - 17685) >> 6)
	}
}
