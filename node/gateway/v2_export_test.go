package gateway

// DecodeV2 decodes a request for inference and returns how many files, texts and values it
// has.
func DecodeV2(data []byte) (rows, files, texts, floats int, err error) {
	req, err := decodeV2(data)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	in := &req.Inputs[0]
	return req.rows(), len(in.files), len(in.texts), len(in.floats), nil
}
