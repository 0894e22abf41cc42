package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/shell"
	"github.com/covey-network/covey/node/store"
)

// maxImageFile bounds an image file that is sent to a node, whose requests end at 33 MiB: a
// third more than the file, in base64.
const maxImageFile = 24_000_000

// The tasks of models that classify.
const (
	taskEmbed         = "embed"
	taskClassify      = "classify"
	taskClassifyImage = "classify-image"
	taskClassifyTable = "classify-table"
	taskRegressTable  = "regress-table"
)

// class is a label of an image or a text.
type class struct {
	Label       string  `json:"label"`
	Probability float32 `json:"probability"`
}

// classified is what a model makes of one image or text.
type classified struct {
	File   string  `json:"file,omitempty"`
	Text   string  `json:"text,omitempty"`
	Labels []class `json:"labels"` // likeliest first
}

// classify asks a model that classifies about the image files among the arguments, about a
// text or about the rows of a file, and prints the likeliest labels, or the numbers that it
// predicts. It reports false, and does nothing, if the model, which m describes, is for something
// else.
func (r *runOptions) classify(c *cobra.Command, client *api.Client, m *api.Model, model, prompt string) (bool, error) {
	ctx := c.Context()
	switch m.Task {
	case taskEmbed:
		return true, usageError{fmt.Errorf("model %s makes embeddings: use covey embed %s%s", model, shell.Quote(model), r.dataFlag())}
	case taskClassify, taskClassifyImage, taskClassifyTable, taskRegressTable:
	default:
		return false, nil
	}
	if r.top < 1 {
		return true, usageError{fmt.Errorf("--top is %d, want 1 or more", r.top)}
	}
	switch given := c.Flags().Changed("top"); {
	case given && m.Task == taskRegressTable:
		return true, usageError{fmt.Errorf("model %s predicts a number: leave out --top, which is for models that tell classes", model)}
	case given && m.Task == taskClassifyTable && !r.json:
		return true, usageError{fmt.Errorf("model %s is for tables, and text has the likeliest class of a row alone: add --json for --top, or leave it out", model)}
	}
	if m.Task != taskClassifyTable && m.Task != taskRegressTable {
		if err := r.table.notTable(model); err != nil {
			return true, err
		}
	} else {
		return true, r.predictTable(c, client, model, c.Flags().Args()[1:])
	}
	var results []classified
	var err error
	if m.Task == taskClassifyImage {
		results, err = r.classifyImages(ctx, client, model, c.Flags().Args()[1:])
	} else {
		if prompt, err = r.piped(ctx, prompt); err == nil {
			results, err = r.classifyText(ctx, client, model, prompt)
		}
	}
	if err != nil {
		return true, err
	}
	if r.json {
		return true, printJSON(c.OutOrStdout(), map[string]any{"model": model, "results": results})
	}
	return true, printClasses(c.OutOrStdout(), results)
}

// notFound adds to the error of a model that is not found one whose name differs only in its case
// or its owner on Hugging Face, or how to get it.
func notFound(ctx context.Context, client *api.Client, name string, err error) error {
	var status *api.StatusError
	var models []api.Model
	if !errors.As(err, &status) || status.Status != http.StatusNotFound || strings.Contains(err.Error(), "did you mean") || client.Get(ctx, "/covey/v1/models", nil, &models) != nil {
		return err
	}
	for _, m := range models {
		if m.Name != name && (strings.EqualFold(m.Name, name) || strings.EqualFold(m.Name, path.Base(ofHub(name)))) {
			return fmt.Errorf("%w; did you mean %s?", err, shell.Quote(m.Name))
		}
	}
	if advice := notHere(name); advice != "" {
		return fmt.Errorf("%w; %s", err, advice)
	}
	return err
}

func (r *runOptions) classifyText(ctx context.Context, client *api.Client, model, text string) ([]classified, error) {
	if text == "" {
		return nil, usageError{fmt.Errorf("model %s classifies texts: give one", model)}
	}
	labels, err := r.infer(ctx, client, model, "text", text)
	return []classified{{Text: text, Labels: labels}}, err
}

func (r *runOptions) classifyImages(ctx context.Context, client *api.Client, model string, names []string) ([]classified, error) {
	if len(names) == 0 {
		return nil, usageError{fmt.Errorf("model %s classifies images: give an image file (JPEG, PNG, WebP, GIF, BMP or TIFF), or several", model)}
	}
	var results []classified
	for _, name := range names {
		file, err := readImage(name)
		if err != nil {
			return nil, err
		}
		labels, err := r.infer(ctx, client, model, "image", base64.StdEncoding.EncodeToString(file))
		var status *api.StatusError
		if errors.As(err, &status) { // keeps its exit code
			return nil, &api.StatusError{Status: status.Status, Message: name + ": " + status.Message}
		}
		if err != nil {
			return nil, err
		}
		results = append(results, classified{File: name, Labels: labels})
	}
	return results, nil
}

// printClasses prints a line for each label, under the name of its file if there are several.
func printClasses(out io.Writer, results []classified) error {
	for i, c := range results {
		if len(results) > 1 {
			if i > 0 {
				fmt.Fprintln(out)
			}
			fmt.Fprintln(out, c.File)
		}
		rows := make([][]string, len(c.Labels))
		for k, l := range c.Labels {
			rows[k] = []string{fmt.Sprintf("%5.1f%%", 100*l.Probability), l.Label}
		}
		if err := table(out, rows); err != nil {
			return err
		}
	}
	return nil
}

// readImage reads an image file of a size that a node takes.
func readImage(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImageFile+1))
	if err != nil {
		return nil, fmt.Errorf("read image: %w", err)
	}
	if len(data) > maxImageFile {
		return nil, fmt.Errorf("%s has more than %s: make it smaller first, the model sees few of its pixels", name, store.BytesText(maxImageFile))
	}
	return data, nil
}

// infer sends one input through the Open Inference Protocol.
func (r *runOptions) infer(ctx context.Context, client *api.Client, model, input, data string) ([]class, error) {
	body := map[string]any{
		"inputs":     []any{map[string]any{"name": input, "datatype": "BYTES", "shape": []int{1}, "data": []string{data}}},
		"outputs":    []any{map[string]string{"name": "probabilities"}, map[string]string{"name": "labels"}},
		"parameters": map[string]int{"top_k": r.top},
	}
	var res struct {
		Outputs [2]struct{ Data anyData }
	}
	if err := client.Post(ctx, "/v2/models/"+url.PathEscape(model)+"/infer", body, &res); err != nil {
		return nil, err
	}
	shares, labels := res.Outputs[0].Data.numbers, res.Outputs[1].Data.texts
	if len(shares) == 0 || len(shares) != len(labels) {
		return nil, errors.New("read answer: probabilities and labels do not belong together")
	}
	out := make([]class, len(shares))
	for i := range out {
		out[i] = class{labels[i], shares[i]}
	}
	return out, nil
}

// anyData is the data of an output: numbers or texts.
type anyData struct {
	numbers []float32
	texts   []string
}

// UnmarshalJSON reads a list of either.
func (d *anyData) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &d.numbers) == nil {
		return nil
	}
	d.numbers = nil
	return json.Unmarshal(data, &d.texts)
}
