package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"golang.org/x/sync/errgroup"
)

const (
	// wholeBytes is how large all files together may be to be read from end to end, which
	// takes about a second. Of larger data sets only samples are read.
	wholeBytes = 1 << 30
	// sampleBytes is what is read of a file at its beginning, in its middle and at its end:
	// the pixels of one compressed picture differ from those of any other in all of them.
	sampleBytes = 4 << 10
	// runFiles is how many files a goroutine reads before it looks for more.
	runFiles = 256
)

// Fingerprint returns a text that is another one if files have been replaced under the same
// names. Up to 1 GiB all that is in them counts; of more it is each file's size and 12 KiB of
// it. What cannot be read counts as such. It blocks until the files are read or ctx ends.
func (f *Folder) Fingerprint(ctx context.Context) (string, error) {
	return f.fingerprint(ctx, wholeBytes)
}

// fingerprint is Fingerprint with the limit of what is read whole.
func (f *Folder) fingerprint(ctx context.Context, whole int64) (string, error) {
	total := int64(0)
	for _, name := range f.files {
		if info, err := fs.Stat(f.cfg.FS, name); err == nil {
			total += min(info.Size(), f.cfg.MaxFileBytes)
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
	}
	sums := make([][sha256.Size]byte, (len(f.files)+runFiles-1)/runFiles)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range sums {
		group.Go(func() error {
			h := sha256.New()
			for _, name := range f.files[i*runFiles : min((i+1)*runFiles, len(f.files))] {
				if err := ctx.Err(); err != nil {
					return err
				}
				f.sum(h, name, total <= whole)
			}
			h.Sum(sums[i][:0])
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	h := sha256.New()
	for _, s := range sums {
		h.Write(s[:])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sum writes the size of a file to w, and all that is in it or samples.
func (f *Folder) sum(w io.Writer, name string, whole bool) {
	file, size, err := openFile(f.cfg.FS, name, f.cfg.MaxFileBytes)
	if err != nil { // a sample that is left out
		fmt.Fprintln(w, "unreadable")
		return
	}
	defer file.Close()
	fmt.Fprintln(w, size)
	at, ok := file.(io.ReaderAt)
	if whole || !ok || size <= 3*sampleBytes {
		_, err = io.Copy(w, file)
	} else {
		var b [sampleBytes]byte
		for _, from := range []int64{0, size/2 - sampleBytes/2, size - sampleBytes} {
			var n int
			n, err = at.ReadAt(b[:], from)
			_, _ = w.Write(b[:n]) // of a hash
		}
	}
	if err != nil {
		fmt.Fprintln(w, "unreadable")
	}
}
