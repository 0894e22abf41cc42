package gateway

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/covey-network/covey/node/api"
)

// numberTypes are the datatypes of numbers.
var numberTypes = []string{typeFP64, typeFP32, "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8"}

// decodeTable decodes the columns of a table and brings them into the model's order.
func (req *requestV2) decodeTable(m *Model) error {
	names := m.Rows.Names()
	columns := make([]inputV2, len(names))
	cells := 0
	for i := range req.Inputs {
		in := &req.Inputs[i]
		at := slices.Index(names, in.Name)
		if at < 0 {
			return badRequest("inputs", "input %.40q is no column of model %s: want %.400s", in.Name, m.Name, strings.Join(names, ", "))
		}
		if columns[at].Name != "" {
			return badRequest("inputs", "input %.40q comes twice", in.Name)
		}
		n, err := in.length(maxTableV2)
		if err != nil {
			return err
		}
		if len(in.Shape) > 2 || in.Shape[0] != n {
			return badRequest("inputs", "input %.40q has shape %v, want a value for each row", in.Name, in.Shape)
		}
		if cells += n; cells > maxCellsV2 {
			return badRequest("inputs", "more than %d values: ask for fewer rows at once", maxCellsV2)
		}
		if req.rows == 0 {
			req.rows = n
		}
		if n != req.rows {
			return badRequest("inputs", "input %.40q has %d rows, the first one has %d", in.Name, n, req.rows)
		}
		if err := in.decodeColumn(m.Rows.Numeric(at)); err != nil {
			return err
		}
		columns[at] = *in
	}
	for i, c := range columns {
		if c.Name == "" {
			return badRequest("inputs", "column %.40q is missing: model %s takes %.400s", names[i], m.Name, strings.Join(names, ", "))
		}
	}
	req.Inputs = columns
	return nil
}

// decodeColumn reads one value for each row: numbers, texts, truth values or null, nested as
// the protocol allows. They become what a file of comma-separated values would have.
func (in *inputV2) decodeColumn(numeric bool) error {
	number := slices.Contains(numberTypes, in.Datatype)
	in.plain = number
	if in.Datatype == "" {
		return badRequest("inputs", "input %.40q has no datatype: want %s for text as in a file, or for numbers of JSON %s or another one of %s", in.Name, typeBytes, typeFP64, strings.Join(append([]string{typeBool}, numberTypes[1:]...), ", "))
	}
	if !number && in.Datatype != typeBytes && in.Datatype != typeBool {
		return badRequest("inputs", "input %.40q is %.20q, want %s, %s or one of %s", in.Name, in.Datatype, typeBytes, typeBool, strings.Join(numberTypes, ", "))
	}
	dec := json.NewDecoder(bytes.NewReader(in.Data))
	dec.UseNumber()
	for {
		t, err := dec.Token()
		if err != nil {
			break // the end: it is well-formed, as the request is
		}
		cell, ok := "", true
		switch v := t.(type) {
		case json.Delim:
			if v == '[' || v == ']' {
				continue
			}
			ok = false
		case json.Number:
			cell, ok = v.String(), number
		case string:
			cell, ok = v, in.Datatype == typeBytes
		case bool:
			cell, ok = truth(v, numeric), in.Datatype == typeBool
		}
		if !ok {
			return badRequest("inputs", "value %d of input %.40q is not %s", len(in.cells), in.Name, in.Datatype)
		}
		if len(in.cells) == in.Shape[0] {
			return badRequest("inputs", "input %.40q has more values than its shape %v", in.Name, in.Shape)
		}
		in.cells = append(in.cells, cell)
	}
	if len(in.cells) != in.Shape[0] {
		return badRequest("inputs", "input %.40q has %d values, its shape is %v", in.Name, len(in.cells), in.Shape)
	}
	in.Data = nil
	return nil
}

// truth writes a truth value as tables do: in a column of numbers as 1 or 0.
func truth(v, numeric bool) string {
	switch {
	case numeric && v:
		return "1"
	case numeric:
		return "0"
	case v:
		return "true"
	}
	return "false"
}

// numbers returns what the model takes for rows [lo, hi).
func (req *requestV2) numbers(m *Model, lo, hi int) ([]float32, error) {
	width := m.Rows.Width()
	out := make([]float32, (hi-lo)*width)
	fields, plain := make([]string, len(req.Inputs)), make([]bool, len(req.Inputs))
	for row := lo; row < hi; row++ {
		for i := range req.Inputs {
			fields[i], plain[i] = req.Inputs[i].cells[row], req.Inputs[i].plain
		}
		err := m.Rows.Inputs(out[(row-lo)*width:(row-lo+1)*width], fields, plain, req.decimal, req.thousands)
		switch {
		case err != nil && req.rowErrors:
			req.errors[row] = err.Error()
			clear(out[(row-lo)*width : (row-lo+1)*width])
		case err != nil:
			return nil, badRequest("inputs", "row %d of %d: %v", row+1, req.rows, err)
		default:
			req.noteUnknown(m, fields)
			req.noteFar(m, fields, out[(row-lo)*width:(row-lo+1)*width])
		}
	}
	return out, nil
}

// unknownBytes is how much of a value an answer shows that its model does not know.
const unknownBytes = 64

// noteUnknown counts the values of a row that its model does not know.
func (req *requestV2) noteUnknown(m *Model, fields []string) {
	for i, f := range fields {
		if !m.Rows.Unknown(i, f) {
			continue
		}
		if req.unknown == nil {
			req.unknown = make([]api.Unknown, len(req.Inputs))
		}
		u := &req.unknown[i]
		u.Column = req.Inputs[i].Name
		u.Count++
		u.Show(clip(strings.TrimSpace(f), unknownBytes))
	}
}

// noteFar counts the numbers of a row that are far from those of training.
func (req *requestV2) noteFar(m *Model, fields []string, inputs []float32) {
	for _, i := range m.Rows.Far(inputs) {
		if req.far == nil {
			req.far = make([]api.Far, len(req.Inputs))
		}
		f := &req.far[i]
		f.Column = req.Inputs[i].Name
		f.Mean, f.Std = m.Rows.Moments(i)
		f.Count++
		f.Show(clip(strings.TrimSpace(fields[i]), unknownBytes))
	}
}

// notes returns what an answer tells of values that training never saw, nil if there are none.
func (req *requestV2) notes() map[string]any {
	notes := map[string]any{}
	if unknown := slices.DeleteFunc(req.unknown, func(u api.Unknown) bool { return u.Count == 0 }); len(unknown) > 0 {
		notes["unknown_categories"] = unknown
	}
	if far := slices.DeleteFunc(req.far, func(f api.Far) bool { return f.Count == 0 }); len(far) > 0 {
		notes["far_numbers"] = far
	}
	return notes
}

// without leaves out the results of the rows that have an error.
func (req *requestV2) without(results [][]float32) [][]float32 {
	if !req.rowErrors {
		return results
	}
	kept := results[:0]
	for i, r := range results {
		if req.errors[i] == "" {
			kept = append(kept, r)
		}
	}
	return kept
}
