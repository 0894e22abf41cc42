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

// orientation returns the EXIF orientation of an image file, 1 (upright) if it has none.
// It is looked for in APP1 of a JPEG, in eXIf of a PNG, in EXIF of a WebP and in the first
// directory of a TIFF.
func orientation(c codec, file []byte) int {
	tiff := bytes.TrimPrefix(c.exif(file), []byte("Exif\x00\x00"))
	if o := tiffTag(tiff, tagOrientation); o >= 1 && o <= 8 {
		return int(o)
	}
	return 1
}

// pngChunk returns the body of the first chunk of a name, nil if there is none.
func pngChunk(b []byte, name string) []byte {
	for at := 8; at+12 <= len(b); {
		n := int64(binary.BigEndian.Uint32(b[at:]))
		if int64(at)+12+n > int64(len(b)) {
			return nil
		}
		if string(b[at+4:at+8]) == name {
			return b[at+8 : at+8+int(n)]
		}
		at += 12 + int(n)
	}
	return nil
}
