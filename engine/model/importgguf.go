package model

import "errors"

func importGGUF(path string, opt ImportOptions) (*Checkpoint, error) {
	return nil, errors.New("GGUF is not supported yet")
}
