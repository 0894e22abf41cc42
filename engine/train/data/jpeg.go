package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// checkScans refuses a JPEG that passes over its pixels again and again.
func checkScans(b []byte) error {
	if n := bytes.Count(b, []byte("\xff\xda")); n > maxScans {
		return fmt.Errorf("JPEG of %d scans, at most %d", n, maxScans)
	}
	return nil
}

// jpegSegments calls f with the marker and the body of each segment before the pixels, until
// it returns false. It finds them where the decoder does: bytes between segments, FF00 and
// restart markers, which have no body, are passed over.
func jpegSegments(b []byte, f func(marker byte, body []byte) bool) {
	for at := 2; ; {
		skip := bytes.IndexByte(b[at:], 0xff)
		if skip < 0 {
			return
		}
		at += skip + 1
		if at < len(b) && b[at] == 0 {
			at++
			continue
		}
		for at < len(b) && b[at] == 0xff { // fill bytes
			at++
		}
		if at+3 > len(b) {
			return
		}
		marker, n := b[at], int(binary.BigEndian.Uint16(b[at+1:]))
		if at++; marker >= 0xd0 && marker <= 0xd7 {
			continue
		}
		if marker == 0xd9 || marker == 0xda || n < 2 || at+n > len(b) || !f(marker, b[at+2:at+n]) {
			return
		}
		at += n
	}
}

func (jpegCodec) exif(b []byte) (found []byte) {
	jpegSegments(b, func(marker byte, body []byte) bool {
		if marker == 0xe1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) {
			found = body
		}
		return found == nil
	})
	return found
}

// memory: samples of a byte, with coefficients of four bytes beside if it is progressive, and
// four bytes more if they are no luma and chroma.
func (jpegCodec) memory(b []byte, w, h int) float64 {
	sum := 4*5 + 4.0 // if there is no frame: it cannot be decoded
	jpegSegments(b, func(marker byte, body []byte) bool {
		if marker < 0xc0 || marker > 0xc2 { // only the first frame counts: two are an error
			return true
		}
		if len(body) < 6 || len(body) < 6+3*int(body[5]) {
			return false
		}
		sum = frameMemory(body, w, h, marker == 0xc2)
		n := int(body[5])
		if n == 4 || n == 3 && (untransformed(b) || body[6] == 'R' && body[9] == 'G' && body[12] == 'B') {
			sum += 4
		}
		return false
	})
	return sum
}

// untransformed reports whether an Adobe segment may say that the samples are red, green and
// blue. The decoder takes it from anywhere up to the end, so all of the file is looked at.
func untransformed(b []byte) bool {
	name := []byte("Adobe")
	for at := bytes.Index(b, name); at >= 0; {
		if at >= 4 && b[at-4] == 0xff && b[at-3] == 0xee && at+11 < len(b) && b[at+11] == 0 {
			return true
		}
		next := bytes.Index(b[at+1:], name)
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return false
}

// frameMemory adds up the samples for each pixel of a frame header (ITU T.81, B.2.2), those
// included that make whole units of the picture's last column and row.
func frameMemory(body []byte, w, h int, progressive bool) float64 {
	width, height := 1, 1
	parts := body[6 : 6+3*int(body[5])]
	for i := 0; i < len(parts); i += 3 {
		width, height = max(width, int(parts[i+1]>>4)), max(height, int(parts[i+1]&15))
	}
	if len(parts) == 3 { // of one kind of samples the factors do not count
		width, height, parts = 1, 1, []byte{0, 0x11, 0}
	}
	sum := 0.0
	for i := 0; i < len(parts); i += 3 {
		sum += float64(parts[i+1]>>4) * float64(parts[i+1]&15) / float64(width*height)
	}
	if progressive {
		sum *= 5
	}
	whole := func(n, unit int) float64 { return float64((n+unit-1)/unit*unit) / float64(n) }
	return sum * whole(w, 8*width) * whole(h, 8*height)
}
