package gateway_test

import (
	"errors"
	"testing"

	"github.com/covey-network/covey/node/gateway"
)

// FuzzDecodeV2 decodes requests for inference that are made up. What is accepted has as
// many elements as its shape, and never more than the request can hold.
func FuzzDecodeV2(f *testing.F) {
	f.Add([]byte(`{"id":"1","inputs":[{"name":"image","datatype":"BYTES","shape":[2],"data":["AAAA","iVBORw0KGgo="]}],"parameters":{"top_k":3}}`))
	f.Add([]byte(`{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,1,2,2],"data":[[[[1,-2.5],[3e-1,4E+2]]]]}],"outputs":[{"name":"labels"}]}`))
	f.Add([]byte(`{"inputs":[{"name":"text","datatype":"BYTES","shape":[1,1],"data":[["some words"]]}]}`))
	f.Add([]byte(`{"inputs":[{"name":"pixels","datatype":"FP32","shape":[256,4,4611686018427387904,2],"data":[]}]}`))
	f.Add([]byte(`{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,1,1,3],"data":[1e39,--1,1.2.3]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, files, texts, floats, err := gateway.DecodeV2(data)
		if err != nil {
			if errors.Unwrap(err) != nil || err.Error() == "" {
				t.Errorf("an error that is not for the client: %v", err)
			}
			return
		}
		if rows < 1 || files+texts+floats < rows || files+texts+floats > len(data) {
			t.Errorf("%d rows, %d files, %d texts, %d values of %d bytes", rows, files, texts, floats, len(data))
		}
		if files > 0 && files != rows || texts > 0 && texts != rows || floats%rows != 0 {
			t.Errorf("%d rows, %d files, %d texts, %d values", rows, files, texts, floats)
		}
	})
}
