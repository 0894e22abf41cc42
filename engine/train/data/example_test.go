package data_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/covey-network/covey/engine/train/data"
)

// exampleFolder writes eight images of two classes and returns their folder.
func exampleFolder() (fsys fs.FS, remove func()) {
	dir, err := os.MkdirTemp("", "images")
	if err != nil {
		log.Fatal(err)
	}
	for i := range 8 {
		name := filepath.Join(dir, []string{"cat", "dog"}[i%2], fmt.Sprint(i, ".png"))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			log.Fatal(err)
		}
		f, err := os.Create(name)
		if err != nil {
			log.Fatal(err)
		}
		if err := png.Encode(f, image.NewRGBA(image.Rect(0, 0, 40, 30))); err != nil {
			log.Fatal(err)
		}
		if err := f.Close(); err != nil {
			log.Fatal(err)
		}
	}
	return os.DirFS(dir), func() { os.RemoveAll(dir) }
}

// A folder of images is split, and both parts are read by pipelines of their own.
func Example() {
	fsys, remove := exampleFolder()
	defer remove()
	train, err := data.NewPipeline(data.PipelineConfig{
		Steps: []data.Step{data.RandomResizedCrop{W: 32, H: 32}, data.HorizontalFlip{P: 0.5}},
	})
	if err != nil {
		log.Fatal(err)
	}
	eval, err := data.NewPipeline(data.PipelineConfig{
		Steps: []data.Step{data.Resize{Shorter: 36}, data.CenterCrop{W: 32, H: 32}},
	})
	if err != nil {
		log.Fatal(err)
	}
	folder, err := data.OpenFolder(data.FolderConfig{FS: fsys, Pipeline: train})
	if err != nil {
		log.Fatal(err)
	}
	trainIdx, evalIdx, err := data.Split(folder.Len(), 0.25, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(folder.Shape().Classes, folder.Shape().Dims)
	for _, part := range []struct {
		set *data.Folder
		idx []int
	}{{folder, trainIdx}, {folder.With(eval), evalIdx}} {
		set, err := data.NewSubset(part.set, part.idx)
		if err != nil {
			log.Fatal(err)
		}
		if err := epoch(set); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// [cat dog] [3 32 32]
	// 4 samples, 12288 numbers, next {0 4}
	// 2 samples, 6144 numbers, next {0 6}
	// 2 samples, 6144 numbers, next {0 2}
}

func epoch(set data.Dataset) error {
	loader, err := data.NewLoader(set, data.LoaderConfig{Batch: 4, Shuffle: true, Seed: 7, Epochs: 1})
	if err != nil {
		return err
	}
	batches, err := loader.From(context.Background(), data.Cursor{})
	if err != nil {
		return err
	}
	defer batches.Close()
	for {
		b, err := batches.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Printf("%d samples, %d numbers, next %v\n", b.N, len(b.Values), b.Next)
	}
}

// Rows of a table become standardised numbers and classes.
func ExampleReadTable() {
	file := "height,colour,tree\n1.5,green,fir\n2.5,brown,oak\n,green,oak\n"
	table, err := data.ReadTable(strings.NewReader(file), "trees.csv", data.TableConfig{Label: "tree"})
	if err != nil {
		log.Fatal(err)
	}
	if table, err = table.Standardise([]int{0, 1}); err != nil {
		log.Fatal(err)
	}
	s := table.Shape().NewSample()
	for i := range table.Len() {
		if err := table.Sample(&s, i, nil); err != nil {
			log.Fatal(err)
		}
		fmt.Println(s.Values, table.Shape().Classes[s.Label])
	}
	count, bad := table.Bad()
	fmt.Println(count, "left out:", bad[0].Error())
	// Output:
	// [-1 0 1] fir
	// [1 1 0] oak
	// 1 left out: trees.csv:4: column "height": value missing or unknown: ""
}

// All documents become one row of tokens, cut to sequences that overlap by one.
func ExampleOpenText() {
	text, err := data.OpenText(context.Background(), data.TextConfig{
		FS: texts("a.txt", "ab", "b.txt", "cde"), Files: []string{"*.txt"}, Encoder: bytesEncoder{}, EOS: '.', Length: 3,
	})
	if err != nil {
		log.Fatal(err)
	}
	s := text.Shape().NewSample()
	for i := range text.Len() {
		if err := text.Sample(&s, i, nil); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%c\n", s.Tokens)
	}
	// Output:
	// [a b . c]
	// [c d e .]
}
