package data

import (
	"bytes"
	"encoding/binary"
)

// orientations are the turns for the values of the EXIF tag Orientation, as ImageOps.
// exif_transpose of Pillow applies them.
var orientations = [9]turn{
	2: {flipX: true},
	3: {flipX: true, flipY: true},
	4: {flipY: true},
	5: {swap: true},
	6: {swap: true, flipX: true},
	7: {swap: true, flipX: true, flipY: true},
	8: {swap: true, flipY: true},
}

const orientationTag = 0x0112

// orientation returns the EXIF orientation of an image file, 1 (upright) if it has none.
// It is looked for in APP1 of a JPEG, in eXIf of a PNG and in EXIF of a WebP.
func orientation(f format, file []byte) int {
	var tiff []byte
	switch f {
	case formatJPEG:
		tiff = jpegEXIF(file)
	case formatPNG:
		tiff = pngEXIF(file)
	case formatWebP:
		tiff = webpEXIF(file)
	}
	if o := tiffOrientation(bytes.TrimPrefix(tiff, []byte("Exif\x00\x00"))); o >= 1 && o <= 8 {
		return o
	}
	return 1
}

func jpegEXIF(b []byte) []byte {
	for at := 2; at+4 <= len(b) && b[at] == 0xff; {
		marker, n := b[at+1], int(binary.BigEndian.Uint16(b[at+2:]))
		if marker == 0xff { // fill byte
			at++
			continue
		}
		if marker == 0xda || n < 2 || at+2+n > len(b) {
			return nil
		}
		if body := b[at+4 : at+2+n]; marker == 0xe1 && bytes.HasPrefix(body, []byte("Exif\x00\x00")) {
			return body
		}
		at += 2 + n
	}
	return nil
}

func pngEXIF(b []byte) []byte {
	for at := 8; at+12 <= len(b); {
		n := int64(binary.BigEndian.Uint32(b[at:]))
		if int64(at)+12+n > int64(len(b)) {
			return nil
		}
		if string(b[at+4:at+8]) == "eXIf" {
			return b[at+8 : at+8+int(n)]
		}
		at += 12 + int(n)
	}
	return nil
}

func webpEXIF(b []byte) []byte {
	for at := 12; at+8 <= len(b); {
		n := int64(binary.LittleEndian.Uint32(b[at+4:]))
		if int64(at)+8+n > int64(len(b)) {
			return nil
		}
		if string(b[at:at+4]) == "EXIF" {
			return b[at+8 : at+8+int(n)]
		}
		at += 8 + int(n+n%2)
	}
	return nil
}

// tiffOrientation reads the tag from the first directory of a TIFF header; 0 if it is not
// there.
func tiffOrientation(b []byte) int {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(b[:2]) {
	case "II":
	case "MM":
		order = binary.BigEndian
	default:
		return 0
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	entries := int(order.Uint16(b[at:]))
	for b = b[at+2:]; entries > 0 && len(b) >= 12; entries, b = entries-1, b[12:] {
		if order.Uint16(b) != orientationTag {
			continue
		}
		switch order.Uint16(b[2:]) {
		case 3:
			return int(order.Uint16(b[8:]))
		case 4:
			return int(min(order.Uint32(b[8:]), 9))
		}
	}
	return 0
}
