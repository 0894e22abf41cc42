package job_test

import (
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
)

// TestImageFormats trains on images of other formats, among files that are none. All that is
// left out is told once, by extension.
func TestImageFormats(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 3)
	for i := range 2 {
		m := image.NewPaletted(image.Rect(0, 0, 8, 8), color.Palette{color.Black, color.White})
		for format, encode := range map[string]func(w io.Writer, m image.Image) error{
			"gif": func(w io.Writer, m image.Image) error { return gif.Encode(w, m, nil) }, "BMP": bmp.Encode,
			"tif": func(w io.Writer, m image.Image) error { return tiff.Encode(w, m, nil) }, "tiff": func(w io.Writer, m image.Image) error { return tiff.Encode(w, m, nil) },
		} {
			var b strings.Builder
			if err := encode(&b, m); err != nil {
				t.Fatal(err)
			}
			write(t, dir, fmt.Sprintf("images/none/more%d.%s", i, format), b.String())
		}
		write(t, dir, fmt.Sprintf("images/left/phone%d.HEIC", i), "")
	}
	write(t, dir, "images/right/notes.txt", "")
	j := read(t, dir, strings.NewReplacer("split = 0.25\n", "", "best = \"metric\"\n", "").Replace(fmt.Sprintf(imageJob, "mlp", "mlp = {hidden = [4]}", 3)))
	var told []string
	var start job.Start
	res := run(t, j, job.Options{Events: job.Events{
		Start: func(s job.Start) { start = s }, Bad: func(b data.Bad) { told = append(told, b.Error()) },
	}})
	slices.Sort(told)
	if len(told) != 2 || !strings.HasPrefix(told[0], "2 .heic, 1 .txt: no images in the folder of a class") || !strings.HasPrefix(told[1], "left/broken.png: not a JPEG") {
		t.Errorf("told %q", told)
	}
	if start.Samples != 18 || start.Bad != 3 || res.LeftOut != 1 {
		t.Errorf("%d samples, %d files left out, then %d of an epoch", start.Samples, start.Bad, res.LeftOut)
	}
}
