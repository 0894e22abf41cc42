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
// it returns false.
func jpegSegments(b []byte, f func(marker byte, body []byte) bool) {
	for at := 2; at+4 <= len(b) && b[at] == 0xff; {
		marker, n := b[at+1], int(binary.BigEndian.Uint16(b[at+2:]))
		if marker == 0xff { // fill byte
			at++
			continue
		}
		if marker == 0xda || n < 2 || at+2+n > len(b) || !f(marker, b[at+4:at+2+n]) {
			return
		}
		at += 2 + n
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
func (jpegCodec) memory(b []byte, _, _ int) float64 {
	const worst = 4*5 + 4
	sum, ycc := float64(worst), true
	jpegSegments(b, func(marker byte, body []byte) bool {
		switch {
		case marker == 0xee && len(body) >= 12 && string(body[:5]) == "Adobe":
			ycc = body[11] != 0
		case marker >= 0xc0 && marker <= 0xc2 && len(body) >= 6 && len(body) >= 6+3*int(body[5]):
			sum = frameMemory(body, marker == 0xc2)
			n := int(body[5])
			if n == 4 || n == 3 && (!ycc || body[6] == 'R' && body[9] == 'G' && body[12] == 'B') {
				sum += 4
			}
			return false
		}
		return true
	})
	return min(sum, worst)
}

// frameMemory adds up the samples for each pixel of a frame header (ITU T.81, B.2.2).
func frameMemory(body []byte, progressive bool) float64 {
	width, height := 1, 1
	parts := body[6 : 6+3*int(body[5])]
	for i := 0; i < len(parts); i += 3 {
		width, height = max(width, int(parts[i+1]>>4)), max(height, int(parts[i+1]&15))
	}
	sum := 0.0
	for i := 0; i < len(parts); i += 3 {
		sum += float64(parts[i+1]>>4) * float64(parts[i+1]&15) / float64(width*height)
	}
	if progressive {
		sum *= 5
	}
	return sum
}
