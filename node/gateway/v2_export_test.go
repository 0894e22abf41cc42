package gateway

// MaxInputsV2 is how many inputs a request has at most.
const MaxInputsV2 = maxInputsV2

// DecodeV2 decodes a request for inference and returns how many files, texts and values it
// has.
func DecodeV2(data []byte) (rows, files, texts, floats int, err error) {
	req, err := decodeV2(data)
	if err == nil {
		err = req.decodeInputs(&Model{})
	}
	if err != nil {
		return 0, 0, 0, 0, err
	}
	in := &req.Inputs[0]
	return req.rows, len(in.files), len(in.texts), len(in.floats), nil
}

// DecodeTableV2 decodes a request for a model of tables and returns what its rows become.
func DecodeTableV2(data []byte, rows Rows) ([]float32, error) {
	out, _, err := DecodeTableErrorsV2(data, rows)
	return out, err
}

// DecodeTableErrorsV2 returns also why rows cannot be used, if the request wants to know.
func DecodeTableErrorsV2(data []byte, rows Rows) ([]float32, []string, error) {
	req, err := decodeV2(data)
	m := &Model{Name: "table", Rows: rows}
	if err == nil {
		err = req.decodeInputs(m)
	}
	if err != nil {
		return nil, nil, err
	}
	out, err := req.numbers(m, 0, req.rows)
	return out, req.errors, err
}

// WrittenV2 returns the parameters of a model of tables that are told of it.
func WrittenV2(rows Rows, target string) map[string]any {
	return (&Model{Rows: rows, Target: target}).written()
}
