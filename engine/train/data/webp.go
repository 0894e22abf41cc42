package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"

	"golang.org/x/image/webp"
)

// webpCodec reads WebP files (RFC 9649). golang.org/x/image/webp reads still ones; of an
// animation its first frame becomes one.
type webpCodec struct{}

const (
	webpAnimated = 1 << 1 // flags of VP8X
	webpAlpha    = 1 << 4

	webpFrameHeader = 16 // bytes of ANMF before its chunks
)

// webpChunks calls f with the name and body of each chunk, until it returns false. at is
// where the first one begins.
func webpChunks(b []byte, at int, f func(name string, body []byte) bool) {
	for at+8 <= len(b) {
		n := int64(binary.LittleEndian.Uint32(b[at+4:]))
		if int64(at)+8+n > int64(len(b)) || !f(string(b[at:at+4]), b[at+8:at+8+int(n)]) {
			return
		}
		at += 8 + int(n+n%2)
	}
}

func (webpCodec) exif(b []byte) (found []byte) {
	webpChunks(b, 12, func(name string, body []byte) bool {
		if name == "EXIF" {
			found = body
		}
		return found == nil
	})
	return found
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// webpFlags returns the flags of VP8X, 0 if the file has none.
func webpFlags(b []byte) byte {
	if len(b) < 30 || string(b[12:16]) != "VP8X" {
		return 0
	}
	return b[20]
}

func (webpCodec) size(b []byte) (w, h int, err error) {
	if webpFlags(b)&webpAnimated != 0 {
		return uint24(b[24:]) + 1, uint24(b[27:]) + 1, nil
	}
	return sizeOf(webp.DecodeConfig(bytes.NewReader(b)))
}

// memory: lossy pixels take one and a half bytes, and a plane of alpha as many as lossless
// ones before it is one byte; those are four bytes, twice while they are transformed.
func (webpCodec) memory(b []byte, _, _ int) float64 {
	if webpFlags(b) == 0 && string(b[12:16]) == "VP8 " {
		return 1.5
	}
	return 1.5 + 1 + 8
}

func (webpCodec) decode(b []byte) (frame, error) {
	if webpFlags(b)&webpAnimated == 0 {
		return whole(webp.Decode(bytes.NewReader(b)))
	}
	first := []byte(nil)
	webpChunks(b, 12, func(name string, body []byte) bool {
		if name == "ANMF" {
			first = body
		}
		return first == nil
	})
	if len(first) < webpFrameHeader {
		return frame{}, errors.New("webp: an animation without a frame")
	}
	w, h := uint24(first[6:])+1, uint24(first[9:])+1
	if w > uint24(b[24:])+1 || h > uint24(b[27:])+1 {
		return frame{}, fmt.Errorf("webp: a frame of %d x %d pixels is larger than its picture", w, h)
	}
	f, err := whole(webp.Decode(bytes.NewReader(webpStill(first))))
	f.at = image.Pt(2*uint24(first), 2*uint24(first[3:]))
	return f, err
}

// webpStill makes a file of its own from a frame of an animation.
func webpStill(first []byte) []byte {
	body := []byte("WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00")
	body = append(body, first[6:12]...) // width and height
	webpChunks(first, webpFrameHeader, func(name string, data []byte) bool {
		switch name {
		case "ALPH":
			body[12] |= webpAlpha
		case "VP8 ", "VP8L":
		default:
			return true
		}
		body = binary.LittleEndian.AppendUint32(append(body, name...), uint32(len(data)))
		body = append(body, data...)
		if len(data)%2 == 1 {
			body = append(body, 0)
		}
		return name == "ALPH"
	})
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}
