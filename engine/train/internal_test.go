package train

import "bytes"

// ReadState is Load of bytes, for fuzzing.
func (t *Trainer) ReadState(data []byte) error {
	_, _, err := t.read(bytes.NewReader(data), int64(len(data)))
	return err
}
