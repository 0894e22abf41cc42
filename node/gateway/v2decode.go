package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/covey-network/covey/node/api"
)

// Limits of a request for inference.
const (
	maxRowsV2    = 256     // images or texts
	maxTableV2   = 1 << 14 // rows of a table
	maxCellsV2   = 1 << 20 // and its values
	maxIDV2      = 256
	maxRankV2    = 4
	maxInputsV2  = 10_000 // the columns of a table: data.MaxColumns
	maxOutputsV2 = 16
	// maxContainersV2 has room for values that are nested: a list around each cell.
	maxContainersV2 = maxCellsV2 + maxContainers
	// maxFloatsV2 bounds the values of a request, whatever fits into its bytes.
	maxFloatsV2 = 6 << 20
)

// requestV2 is a request for inference.
type requestV2 struct {
	ID      string
	Inputs  []inputV2
	Outputs []string // the names of those that are wanted; none: all

	top       int      // parameter top_k, 0 if absent
	rows      int      // images, texts or rows of a table
	rowErrors bool     // parameter row_errors: a row of a table that cannot be used does not end the request
	errors    []string // of each row then, empty for one that can

	// Parameters decimal and thousands: how text of numbers is written in a table; empty: as where
	// the model was trained.
	decimal, thousands string

	unknown []api.Unknown // by column of a table, of those that have such values; nil: none has
	far     []api.Far     // likewise, of numbers
}

// inputV2 is an input tensor. Data is decoded into one of the last four.
type inputV2 struct {
	Name     string
	Datatype string
	Shape    []int
	Data     json.RawMessage

	files  [][]byte
	texts  []string
	floats []float32
	cells  []string // of a column; a number as it was written, empty if it is missing
	plain  bool     // cells are numbers of JSON, not text of a file
}

// decodeV2 reads a request, but not the data of its inputs: what these are, the model says. They
// stay where they are in data.
// Keys and parameters that it does not know are ignored.
func decodeV2(data []byte) (*requestV2, error) {
	if err := checkJSON(data, maxContainersV2); err != nil {
		return nil, err
	}
	var raw struct {
		ID         string          `json:"id"`
		Parameters json.RawMessage `json:"parameters"`
		Outputs    json.RawMessage `json:"outputs"`
	}
	rest, inputs := data, []byte(nil)
	if kindOf(data) == kindObject {
		rest, inputs = cutOut(data, "inputs")
	}
	if err := unmarshal("", rest, &raw); err != nil {
		return nil, err
	}
	req := &requestV2{ID: raw.ID}
	if len(req.ID) > maxIDV2 {
		return nil, badRequest("id", "id has %d bytes, at most %d", len(req.ID), maxIDV2)
	}
	if err := req.readParameters(raw.Parameters); err != nil {
		return nil, err
	}
	err := objectsV2("inputs", inputs, maxInputsV2, func(at string, element []byte) error {
		in, err := readInputV2(at, element)
		req.Inputs = append(req.Inputs, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return req, objectsV2("outputs", raw.Outputs, maxOutputsV2, func(at string, element []byte) error {
		var out struct {
			Name string `json:"name"`
		}
		err := unmarshal(at, element, &out)
		req.Outputs = append(req.Outputs, out.Name)
		return err
	})
}

// objectsV2 calls each with the objects of a list, of which there are at most most.
func objectsV2(param string, raw []byte, most int, each func(at string, element []byte) error) error {
	switch kind := kindOf(raw); kind {
	case "", kindNull:
		return nil
	case kindList:
		return elements(raw, func(i int, element []byte) error {
			at := fmt.Sprintf("%s.[%d]", param, i)
			if i == most {
				return badRequest(param, "more than %d %s", most, param)
			}
			if kind := kindOf(element); kind != kindObject {
				return badRequest(param, "%s is %s, want an object", at, kind)
			}
			return each(at, element)
		})
	default:
		return badRequest(param, "%s is %s, want a list", param, kind)
	}
}

func (req *requestV2) readParameters(raw []byte) error {
	if kind := kindOf(raw); kind == "" || kind == kindNull {
		return nil
	}
	var p struct {
		Top       json.RawMessage `json:"top_k"`
		RowErrors json.RawMessage `json:"row_errors"`
		Decimal   json.RawMessage `json:"decimal"`
		Thousands json.RawMessage `json:"thousands"`
	}
	if err := unmarshal("parameters", raw, &p); err != nil {
		return err
	}
	if p.Top != nil {
		if err := json.Unmarshal(p.Top, &req.top); err != nil || req.top < 1 {
			return badRequest("parameters", "top_k is %.40s, want a number of 1 and more", p.Top)
		}
	}
	if p.RowErrors != nil {
		if err := json.Unmarshal(p.RowErrors, &req.rowErrors); err != nil || kindOf(p.RowErrors) == kindNull {
			return badRequest("parameters", "row_errors is %.40s, want true or false", p.RowErrors)
		}
	}
	if p.Decimal != nil {
		if err := json.Unmarshal(p.Decimal, &req.decimal); err != nil || req.decimal != "." && req.decimal != "," {
			return badRequest("parameters", `decimal is %.40s, want "." or ","`, p.Decimal)
		}
	}
	if p.Thousands != nil {
		if err := json.Unmarshal(p.Thousands, &req.thousands); err != nil || !slices.Contains([]string{".", ",", "'", " ", "none"}, req.thousands) || req.decimal == "" || req.thousands == req.decimal {
			return badRequest("parameters", `thousands is %.40s, want ".", ",", "'", " " or "none", beside another decimal`, p.Thousands)
		}
	}
	return nil
}

func readInputV2(at string, element []byte) (in inputV2, err error) {
	var raw struct {
		Name     string          `json:"name"`
		Datatype string          `json:"datatype"`
		Shape    json.RawMessage `json:"shape"`
	}
	rest, data := cutOut(element, "data")
	if err := unmarshal(at, rest, &raw); err != nil {
		return in, err
	}
	in = inputV2{Name: raw.Name, Datatype: raw.Datatype, Data: data}
	switch kind := kindOf(raw.Shape); kind {
	case "": // told when the number of inputs is right
		return in, nil
	case kindList:
	default:
		return in, badRequest("inputs", "%s.shape is %s, want a list of 1 to %d dimensions", at, kind, maxRankV2)
	}
	return in, elements(raw.Shape, func(i int, element []byte) error {
		if i == maxRankV2 {
			return badRequest("inputs", "%s.shape has more than %d dimensions", at, maxRankV2)
		}
		d, err := readWhole(element)
		if err != nil {
			return badRequest("inputs", "%s.shape.[%d] is %.40s, want a whole number", at, i, element)
		}
		in.Shape = append(in.Shape, int(d))
		return nil
	})
}

// decodeInputs decodes the data of the inputs, which have the lengths of their shapes.
func (req *requestV2) decodeInputs(m *Model) error {
	if m.Rows != nil {
		err := req.decodeTable(m)
		if err == nil && req.rowErrors {
			req.errors = make([]string, req.rows)
		}
		return err
	}
	if req.rowErrors || req.decimal != "" {
		return badRequest("parameters", "row_errors, decimal and thousands are for models of tables")
	}
	if len(req.Inputs) != 1 {
		return badRequest("inputs", "%d inputs, want one: %q, %q or %q", len(req.Inputs), inputImage, inputPixels, inputText)
	}
	if err := req.Inputs[0].decode(); err != nil {
		return err
	}
	req.rows = req.Inputs[0].Shape[0]
	return nil
}

func (in *inputV2) decode() error {
	n, err := in.length(maxRowsV2)
	if err != nil {
		return err
	}
	if in.Datatype == "" {
		want := typeBytes
		if in.Name == inputPixels {
			want = typeFP32
		}
		return badRequest("inputs", "input %.40q has no datatype: want %s", in.Name, want)
	}
	switch in.Name {
	case inputPixels:
		if in.Datatype != typeFP32 || len(in.Shape) != maxRankV2 {
			return badRequest("inputs", "input %q is %.20s of shape %v, want %s of (images, channels, height, width)", in.Name, in.Datatype, in.Shape, typeFP32)
		}
		in.floats, err = readFloats(in.Data, n)
	case inputImage, inputText:
		if in.Datatype != typeBytes || len(in.Shape) > 2 || in.Shape[0] != n {
			return badRequest("inputs", "input %q is %.20s of shape %v, want %s with a row for each", in.Name, in.Datatype, in.Shape, typeBytes)
		}
		err = in.decodeBytes(n)
	default:
		err = badRequest("inputs", "input is %.40q, want %q, %q or %q", in.Name, inputImage, inputPixels, inputText)
	}
	in.Data = nil
	return err
}

// length returns the number of elements of the shape.
func (in *inputV2) length(maxRows int) (int, error) {
	if len(in.Shape) == 0 {
		return 0, badRequest("inputs", "input %.40q has no shape: want a list, of how many values there are", in.Name)
	}
	if len(in.Shape) > maxRankV2 {
		return 0, badRequest("inputs", "shape of %d dimensions, want 1 to %d", len(in.Shape), maxRankV2)
	}
	n := 1
	for _, d := range in.Shape {
		if d < 1 || d > maxFloatsV2/n {
			return 0, badRequest("inputs", "shape %v has an empty dimension or more than %d elements", in.Shape, maxFloatsV2)
		}
		n *= d
	}
	if in.Shape[0] > maxRows {
		return 0, badRequest("inputs", "%d rows in one request, at most %d", in.Shape[0], maxRows)
	}
	return n, nil
}

// decodeBytes reads n texts, or n files in base64. They may be nested, as the protocol
// allows for the data of a tensor.
func (in *inputV2) decodeBytes(n int) error {
	found := 0
	var read func(i int, element []byte) error
	read = func(_ int, element []byte) error {
		switch kind := kindOf(element); {
		case kind == kindList:
			return elements(element, read)
		case kind != kindText:
			return badRequest("inputs", "element %d of input %q is %s, want a text", found, in.Name, kind)
		case found == n:
			return badRequest("inputs", "data of input %q has more elements than the %d of its shape %v", in.Name, n, in.Shape)
		}
		found++
		if in.Name == inputText {
			text, err := readText(element)
			in.texts = append(in.texts, text)
			return err
		}
		file, err := readBase64(element)
		if err != nil || len(file) == 0 {
			return badRequest("inputs", "image %d is not a file in base64", found-1)
		}
		in.files = append(in.files, file)
		return nil
	}
	if kindOf(in.Data) != kindList {
		return badRequest("inputs", "data of input %q is not a list of texts", in.Name)
	}
	if err := elements(in.Data, read); err != nil {
		return err
	}
	if found != n {
		return badRequest("inputs", "data of input %q has %d elements, its shape %v has %d", in.Name, found, in.Shape, n)
	}
	return nil
}

// readBase64 decodes the text that a JSON value of that kind holds.
func readBase64(raw []byte) ([]byte, error) {
	text := raw[1 : len(raw)-1]
	if bytes.IndexByte(text, '\\') >= 0 { // some write \/
		s, err := readText(raw)
		if err != nil {
			return nil, err
		}
		text = []byte(s)
	}
	file := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(file, text)
	return file[:n], err
}

// readFloats reads n numbers from JSON that has been checked: one list, or lists in lists.
func readFloats(raw []byte, n int) ([]float32, error) {
	if n > len(raw)/2 { // a digit and a comma or bracket each
		return nil, badRequest("inputs", "data of %d bytes for %d elements", len(raw), n)
	}
	out := make([]float32, 0, n)
	for at := 0; at < len(raw); {
		switch c := raw[at]; {
		case c == '[' || c == ']' || c == ',' || c == ' ' || c == '\n' || c == '\r' || c == '\t':
			at++
		case c == '-' || c >= '0' && c <= '9':
			end := at + 1
			for end < len(raw) && isNumber(raw[end]) {
				end++
			}
			v, err := strconv.ParseFloat(string(raw[at:end]), 32)
			if err != nil {
				return nil, badRequest("inputs", "element %d, %.40s, is too large for FP32", len(out), raw[at:end])
			}
			if len(out) == n {
				return nil, badRequest("inputs", "data has more than the %d elements of its shape", n)
			}
			out = append(out, float32(v))
			at = end
		default:
			return nil, badRequest("inputs", "element %d of the data is not a number", len(out))
		}
	}
	if len(out) != n {
		return nil, badRequest("inputs", "data has %d elements, its shape has %d", len(out), n)
	}
	return out, nil
}

func isNumber(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}
