package lab

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Widen gives the model that Prepare made words that its tokenizer never gives, of size bytes of
// noise.
func (r *Reach) Widen(size int64, seed uint64) error {
	if err := widen(r.Model, size, seed); err != nil {
		return fmt.Errorf("widen the model: %w", err)
	}
	return nil
}

// tensor is how the head of a safetensors file describes one.
type tensor struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // from, to
}

func widen(dir string, size int64, seed uint64) error {
	const name = "model.embed_tokens.weight"
	path := filepath.Join(dir, "model.safetensors")
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data := file[8+binary.LittleEndian.Uint64(file):]
	var head map[string]json.RawMessage
	if err := json.Unmarshal(file[8:len(file)-len(data)], &head); err != nil {
		return err
	}
	var words tensor
	if err := json.Unmarshal(head[name], &words); err != nil {
		return err
	}
	row := 2 * words.Shape[1] // of 16-bit floats
	noise := make([]byte, size/row*row)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := 0; i < len(noise); i += 2 {
		binary.LittleEndian.PutUint16(noise[i:], uint16(rng.Uint32())&0x83ff|0x2000) // from 1/128 to 1/64
	}
	// The noise must follow the words: what is behind them moves.
	end := words.Offsets[1]
	for k, text := range head {
		var t tensor
		if err := json.Unmarshal(text, &t); err != nil {
			return err
		}
		if t.DType != "" && t.Offsets[0] >= end { // else it is no tensor, or before
			t.Offsets[0], t.Offsets[1] = t.Offsets[0]+int64(len(noise)), t.Offsets[1]+int64(len(noise))
			if head[k], err = json.Marshal(t); err != nil {
				return err
			}
		}
	}
	words.Shape[0] += int64(len(noise)) / row
	words.Offsets[1] += int64(len(noise))
	if head[name], err = json.Marshal(words); err != nil {
		return err
	}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	file = slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data[:end], noise, data[end:])
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return err
	}
	return change(filepath.Join(dir, "config.json"), map[string]any{"vocab_size": words.Shape[0]})
}
