package lab

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// device gives packets at an interval and notes when those that it takes come.
type device struct {
	packets int
	every   time.Duration
	given   []time.Time
	came    map[int]time.Time
}

func (d *device) Read(p []byte) (int, error) {
	if len(d.given) == d.packets {
		return 0, io.EOF
	}
	time.Sleep(d.every)
	d.given = append(d.given, time.Now())
	return binary.PutVarint(p, int64(len(d.given)-1)), nil
}

func (d *device) Write(p []byte) (int, error) {
	i, err := binary.ReadVarint(bytes.NewReader(p))
	d.came[int(i)] = time.Now()
	return len(p), err
}

// TestWire sends packets and looks which of them come, and when.
func TestWire(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		w            Wire
		fewest, most int
	}{
		{"loses none", Wire{Delay: 40 * time.Millisecond}, 10_000, 10_000},
		{"loses three in a hundred", Wire{Delay: 40 * time.Millisecond, Loss: 0.03}, 9_600, 9_800},
		{"loses all", Wire{Loss: 1}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &device{packets: 10_000, every: time.Millisecond, came: map[int]time.Time{}}
				c.w.carry(d, d, rand.New(rand.NewPCG(1, 0)))
				if n := len(d.came); n < c.fewest || n > c.most {
					t.Errorf("%d packets of %d came, want %d to %d", n, d.packets, c.fewest, c.most)
				}
				for i, at := range d.came {
					if took := at.Sub(d.given[i]); took != c.w.Delay {
						t.Fatalf("packet %d took %s", i, took)
					}
				}
			})
		})
	}
	for _, w := range []Wire{{Delay: -1}, {Loss: -0.1}, {Loss: 1.1}} {
		if err := (&Spec{Hosts: []Host{{Name: "a", Kind: Public}}, Far: map[string]Wire{"a": w}}).Validate(); err == nil {
			t.Errorf("a wire %+v is taken", w)
		}
	}
	if err := (&Spec{Hosts: []Host{{Name: "a", Kind: Public}}, Far: map[string]Wire{"b": {}}}).Validate(); err == nil {
		t.Error("a wire to nowhere is taken")
	}
}

// TestWiden looks whether a model that was made larger is whole.
func TestWiden(t *testing.T) {
	t.Parallel()
	r := &Reach{Binary: "covey", Dir: t.TempDir(), Model: "../demo/model", Publics: 1}
	if err := r.Prepare(); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(r.Model, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Widen(1<<20, 1); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(r.Model, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if more := int64(len(file)) - before.Size(); more < 1<<20-1000 || more > 1<<20+1000 { // give or take the head's text
		t.Errorf("it is %d bytes larger", more)
	}
	data := file[8+binary.LittleEndian.Uint64(file):]
	var head map[string]json.RawMessage
	if err := json.Unmarshal(file[8:len(file)-len(data)], &head); err != nil {
		t.Fatal(err)
	}
	var tensors []tensor
	for _, text := range head {
		var one tensor
		if err := json.Unmarshal(text, &one); err != nil {
			t.Fatal(err)
		}
		if one.DType != "" {
			tensors = append(tensors, one)
		}
	}
	slices.SortFunc(tensors, func(a, b tensor) int { return int(a.Offsets[0] - b.Offsets[0]) })
	end := int64(0)
	for _, one := range tensors {
		bytes := int64(2)
		for _, n := range one.Shape {
			bytes *= n
		}
		if one.Offsets != [2]int64{end, end + bytes} {
			t.Fatalf("a tensor of %v is at %v, the one before ends at %d", one.Shape, one.Offsets, end)
		}
		end += bytes
	}
	if end != int64(len(data)) {
		t.Errorf("tensors end at %d of %d", end, len(data))
	}
}
