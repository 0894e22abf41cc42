package hf

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/covey-network/covey/engine/format/folder"
)

// Look reports early, from names alone, that a directory does not say what model it is.
func Look(path string) error {
	in, err := folder.Open(path)
	if err != nil {
		return fmt.Errorf("open model directory: %w", err)
	}
	defer in.Close()
	if in.Has("config.json") {
		return nil
	}
	return noConfig(in)
}

// noConfig tells what a directory without config.json is instead, ErrNoConfig if that
// cannot be told.
func noConfig(in *folder.Folder) error {
	advice := ""
	repository, within := folder.Repository(in.Path())
	switch files := in.Glob("*.gguf"); {
	case len(files) == 1:
		advice = fmt.Sprintf("import its GGUF file, %q", files[0])
	case len(files) > 1:
		advice = fmt.Sprintf("import one of its %d GGUF files (of a split model the first): %s", len(files), quoted(files))
	case len(in.Models()) == 1:
		advice = fmt.Sprintf("it is part of a cache of Hugging Face, import the model in it: %q", in.Models()[0])
	case len(in.Models()) > 1:
		advice = fmt.Sprintf("it is part of a cache of Hugging Face, import one of the %d models in it: %s", len(in.Models()), quoted(in.Models()))
	case repository != "" && !strings.HasPrefix(within, "snapshots/"):
		advice = fmt.Sprintf("it is part of a model in a cache of Hugging Face, import that: %q", repository)
	case in.Has("adapter_config.json"):
		advice = "it is an adapter (LoRA) and no model, merge it into its base with peft's merge_and_unload first"
	case in.Has("params.json"):
		advice = "take the model in the layout of Hugging Face's transformers"
	case repository != "":
		advice = "the download is not complete, " + in.Complete()
	default:
		return ErrNoConfig
	}
	return fmt.Errorf("the folder has no config.json (%w): %s", fs.ErrNotExist, advice)
}

// maxNamed is how many names are told at once.
const maxNamed = 40

// quoted writes names one after another.
func quoted(names []string) string {
	more := ""
	if n := len(names) - maxNamed; n > 0 {
		names, more = names[:maxNamed], fmt.Sprintf(" and %d more", n)
	}
	var out []string
	for _, n := range names {
		out = append(out, strconv.Quote(n))
	}
	return strings.Join(out, ", ") + more
}

// others are the formats of weights that are not read, by the ending of a file, and what to
// do about each.
var others = []struct{ ending, advice string }{
	{".bin", "can hold code and is not read: take a copy with safetensors, or convert it where you trust it with transformers' from_pretrained and save_pretrained"},
	{".pt", "can hold code and is not read: convert it to safetensors where you trust it"},
	{".pth", "can hold code and is not read: convert it to safetensors where you trust it"},
	{".ckpt", "can hold code and is not read: convert it to safetensors where you trust it"},
	{".onnx", "is of ONNX, which is not read: take the model's safetensors"},
	{".h5", "is of TensorFlow, which is not read: take the model's safetensors"},
	{".msgpack", "is of Flax, which is not read: take the model's safetensors"},
	{".gguf", "is a model of its own: import that file"},
}

// Foreign says what to do about a file of weights in a format that is not read, or "".
func Foreign(name string) string {
	for _, o := range others {
		if o.ending == filepath.Ext(name) && o.ending != ".gguf" {
			return o.advice
		}
	}
	return ""
}

// HasWeights reports, from names alone, that a directory has weights that are read.
func HasWeights(path string) bool {
	in, err := folder.Open(path)
	if err != nil {
		return false
	}
	defer in.Close()
	return len(in.Glob("*.safetensors")) > 0
}

// noWeights tells what a directory without safetensors files has instead.
func noWeights(in *folder.Folder) error {
	for _, o := range others {
		if files := in.Glob("*" + o.ending); len(files) > 0 {
			return fmt.Errorf("no safetensors file: %q %s", files[0], o.advice)
		}
	}
	command, _ := in.Download("")
	return fmt.Errorf("no weights: model.safetensors is missing, download the model again: %s", command)
}

// owner explains OWNER in a command, if it is not to run as it is.
func owner(whole bool) string {
	if whole {
		return ""
	}
	return " (OWNER is whose it is there)"
}

// missing is the error of a file that is not there, and of which another one says that it should be.
func missing(in *folder.Folder, name, by string) error {
	command, whole := in.Download(name)
	return fmt.Errorf("%s is missing, which %s names (%w): download it with %s%s", name, by, fs.ErrNotExist, command, owner(whole))
}

// downloadAgain says how to replace a file that is not whole, which a download that finds it leaves as
// it is.
func downloadAgain(in *folder.Folder) string {
	command, whole := in.Download("")
	return fmt.Sprintf("download the model again: %s --force-download%s", command, owner(whole))
}

// fetchTokenizer says how to get the tokenizer.json of a directory that has none.
func fetchTokenizer(in *folder.Folder) string {
	command, whole := in.Download("tokenizer.json")
	command += owner(whole)
	return fmt.Sprintf(`if the model on Hugging Face has one, %s; else transformers makes it: python3 -c 'import sys; from transformers import AutoTokenizer as T; T.from_pretrained(sys.argv[1]).backend_tokenizer.save(sys.argv[1] + "/tokenizer.json")' %s`,
		command, folder.Quote(in.Path()))
}
