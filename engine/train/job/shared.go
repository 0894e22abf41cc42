package job

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxSharedBytes bounds the text of a shared job.
const MaxSharedBytes = 256 << 10

// ownTokenizer stands for the path of a tokenizer.json in a shared job.
const ownTokenizer = "tokenizer.json"

// localKeys are the keys of what belongs to a machine and not to the model: where data is and
// how its files are written, and how the machine works.
var localKeys = []string{
	"data.images.folder", "data.images.validation",
	"data.text.folder", "data.text.validation", "data.text.encoding",
	"data.csv.file", "data.csv.validation", "data.csv.encoding", "data.csv.separator", "data.csv.decimal", "data.csv.thousands", "data.csv.skip_rows",
	"train.threads", "train.folder",
}

// Shared returns the job as a text for others who train the same model with data of their
// own: a job file without paths, without how files are written, threads and folder. Equal
// settings give equal bytes. Of data.text.files and exclude only patterns stay, no names.
func (j *Job) Shared() ([]byte, error) {
	c := *j
	d := &c.Data
	if d.Images != nil {
		section := *d.Images
		section.Folder, section.Validation = "", ""
		d.Images = &section
	}
	if d.Text != nil {
		section := *d.Text
		section.Folder, section.Validation, section.Encoding = "", nil, ""
		section.Files, section.Exclude = patterns(section.Files), patterns(section.Exclude)
		section.Tokenizer = sharedTokenizer(section.bytes())
		d.Text = &section
	}
	if d.CSV != nil {
		section := *d.CSV
		section.File, section.Validation = "", ""
		section.Encoding, section.Separator, section.Decimal, section.Thousands, section.SkipRows = "", "", "", "", 0
		if section.Tokenizer = sharedTokenizer(section.bytes()); !section.text() {
			section.Tokenizer = ""
		}
		d.CSV = &section
	}
	c.Train.Threads, c.Train.Folder = 0, ""
	var w tomlWriter
	if w.section("", reflect.ValueOf(c)); len(w.text) > MaxSharedBytes {
		return nil, fmt.Errorf("shared job: %d bytes, at most %d", len(w.text), MaxSharedBytes)
	}
	return w.text, nil
}

// patterns returns those that are no plain names of files.
func patterns(of []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(p string) bool { return !strings.ContainsAny(p, "*?[") })
}

func sharedTokenizer(bytes bool) string {
	if bytes {
		return tokenizerBytes
	}
	return ownTokenizer
}

// Local is what a machine adds to a shared job: its own data. Relative paths are those of the
// process.
type Local struct {
	// Data is a folder with a folder of images for each class, a CSV file or a folder with
	// one, or a file or folder of text.
	Data string
	// Validation is likewise a folder of images or a CSV file, held out in place of a split of
	// Data; of text it is a pattern of files below the folder Data. Empty: what the job says.
	Validation string
	// Tokenizer is the path of the tokenizer.json, where the job has one.
	Tokenizer string
}

// Join makes a job of the text of Job.Shared and local data. The text may be from anybody: it
// is refused if it has paths, or anything else that is not for others to say. A machine
// without data for validation does without train.best and patience, and leaves what the swarm
// wants of a validation to others. The caller sets Name and may
// set Dir, Train.Threads and Train.Folder.
func Join(shared []byte, l Local) (*Job, error) {
	if len(shared) > MaxSharedBytes {
		return nil, fmt.Errorf("shared job: %d bytes, at most %d", len(shared), MaxSharedBytes)
	}
	j, err := decode(shared)
	if err != nil {
		return nil, fmt.Errorf("shared job:\n%w", err)
	}
	c := &check{job: j}
	for _, key := range localKeys {
		if _, ok := j.lines[key]; ok {
			c.add(key, "is set: a shared job does not say that")
		}
	}
	for _, of := range j.Data.tokenizers() {
		if *of != "" && *of != tokenizerBytes && *of != ownTokenizer {
			c.add("data", "has tokenizer = %.40q, and a shared job has no paths", *of)
		}
	}
	if err := errors.Join(c.errs...); err != nil {
		return nil, fmt.Errorf("shared job:\n%w", err)
	}
	if err := j.place(l); err != nil {
		return nil, err
	}
	if !j.Data.validates() {
		j.Train.Best, j.Train.Patience = "", 0
	}
	j.joined = true
	if err := j.Validate(); err != nil {
		return nil, fmt.Errorf("shared job:\n%w", err)
	}
	return j, nil
}

// tokenizers returns the settings of tokenizers that there are.
func (d *Data) tokenizers() (out []*string) {
	if d.Text != nil {
		out = append(out, &d.Text.Tokenizer)
	}
	if d.CSV != nil {
		out = append(out, &d.CSV.Tokenizer)
	}
	return out
}

// place puts local data into a job.
func (j *Job) place(l Local) (err error) {
	if l.Data == "" {
		return errors.New("own data: none is given")
	}
	if j.Dir, err = os.Getwd(); err != nil {
		return fmt.Errorf("own data: %w", err)
	}
	abs := func(path string) string {
		if path == "" {
			return ""
		}
		return j.path(path)
	}
	path, isText := abs(l.Data), j.Data.Text != nil
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("own data: %w", err)
	}
	held := abs(l.Validation)
	switch d := &j.Data; {
	case d.Images != nil && !info.IsDir():
		return fmt.Errorf("own data: %s is a file, and the job learns from images: want a folder with a folder for each class", l.Data)
	case d.Images != nil:
		if d.Images.Folder, d.Images.Validation = path, held; held != "" {
			d.Images.Split = 0
		}
	case isText:
		if held = filepath.ToSlash(l.Validation); held != "" {
			d.Text.Validation, d.Text.Split = []string{held}, 0
		}
		switch {
		case !info.IsDir():
			d.Text.Folder, d.Text.Files, d.Text.Exclude = filepath.Dir(path), []string{literal(filepath.Base(path))}, nil
		case len(d.Text.Files) == 0:
			d.Text.Folder, d.Text.Files = path, []string{"**/*.txt"}
		default:
			d.Text.Folder = path
		}
	case d.CSV != nil:
		if info.IsDir() {
			if path, err = onlyTable(path); err != nil {
				return fmt.Errorf("own data: %w", err)
			}
		}
		if d.CSV.File, d.CSV.Validation = path, held; held != "" {
			d.CSV.Split = 0
		}
	}
	return j.placeTokenizer(abs(l.Tokenizer))
}

// placeTokenizer puts the path of a tokenizer.json into a job that has one.
func (j *Job) placeTokenizer(path string) error {
	needed := false
	for _, t := range j.Data.tokenizers() {
		if *t == ownTokenizer {
			*t, needed = path, true
		}
	}
	switch {
	case needed && path == "":
		return errors.New("own data: the job has a tokenizer of its own: give the path of its tokenizer.json")
	case !needed && path != "":
		return errors.New("own data: a tokenizer is given, and the job has none of its own: leave it out")
	}
	return nil
}

// onlyTable returns the one CSV file in a folder.
func onlyTable(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		if name := e.Name(); !e.IsDir() && !strings.HasPrefix(name, ".") && slices.Contains([]string{".csv", ".tsv"}, strings.ToLower(filepath.Ext(name))) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%s has %d tables (.csv, .tsv): want one, or the path of the file", dir, len(found))
	}
	return filepath.Join(dir, found[0]), nil
}

// literal returns a pattern that only a name fits.
func literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}

// tomlWriter writes what is set in a job as a job file, in the order of the fields.
type tomlWriter struct{ text []byte }

// section writes the fields of a struct: plain ones, then its sections.
func (w *tomlWriter) section(at string, v reflect.Value) {
	headed, empty := at == "", true
	for _, sections := range []bool{false, true} {
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
			if name == "" || name == "-" {
				continue
			}
			f := v.Field(i)
			pointer := f.Kind() == reflect.Pointer
			if pointer {
				f = f.Elem() // of nil: not valid
			}
			switch {
			case !f.IsValid() || f.Kind() == reflect.Slice && f.Len() == 0 || !pointer && f.IsZero() || (f.Kind() == reflect.Struct) != sections:
			case sections:
				empty = false
				w.section(strings.TrimPrefix(at+"."+name, "."), f)
			default:
				if !headed {
					w.text, headed = fmt.Appendf(w.text, "[%s]\n", at), true
				}
				w.text = append(w.text, name+" = "...)
				w.value(f)
				w.text = append(w.text, '\n')
			}
		}
	}
	if !headed && empty { // a section that is there, with nothing in it
		w.text = fmt.Appendf(w.text, "[%s]\n", at)
	}
}

func (w *tomlWriter) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		w.quote(v.String())
	case reflect.Bool:
		w.text = strconv.AppendBool(w.text, v.Bool())
	case reflect.Int:
		w.text = strconv.AppendInt(w.text, v.Int(), 10)
	case reflect.Uint64:
		w.text = strconv.AppendUint(w.text, v.Uint(), 10)
	case reflect.Float64:
		if f := v.Float(); f == math.Trunc(f) && math.Abs(f) < 1e15 {
			w.text = strconv.AppendFloat(w.text, f, 'f', 1, 64)
		} else {
			w.text = strconv.AppendFloat(w.text, f, 'g', -1, 64)
		}
	case reflect.Slice:
		w.text = append(w.text, '[')
		for i := range v.Len() {
			if i > 0 {
				w.text = append(w.text, ", "...)
			}
			w.value(v.Index(i))
		}
		w.text = append(w.text, ']')
	case reflect.Struct:
		w.inline(v)
	default:
		panic(fmt.Sprintf("a job has a field of kind %v", v.Kind()))
	}
}

// inline writes a struct in braces.
func (w *tomlWriter) inline(v reflect.Value) {
	w.text = append(w.text, '{')
	comma := ""
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
		f := v.Field(i)
		if f.Kind() == reflect.Pointer && !f.IsNil() {
			f = f.Elem()
		} else if f.IsZero() {
			continue
		}
		w.text = append(w.text, comma+name+" = "...)
		w.value(f)
		comma = ", "
	}
	w.text = append(w.text, '}')
}

// quote writes a basic string of TOML.
func (w *tomlWriter) quote(s string) {
	w.text = append(w.text, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.text = append(w.text, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			w.text = fmt.Appendf(w.text, `\u%04X`, r)
		default:
			w.text = utf8.AppendRune(w.text, r)
		}
	}
	w.text = append(w.text, '"')
}
