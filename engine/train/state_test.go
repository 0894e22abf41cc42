package train_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

// smallCNN has all that must survive: statistics, dropout, momentum, a schedule.
func smallCNN() train.Config {
	return train.Config{
		Model: net.Config{Kind: net.KindCNN, CNN: &net.CNN{Input: []int{1, 6, 6}, Classes: 3, Layers: []net.Layer{
			{Type: net.LayerConv, Channels: 4, Norm: true, ReLU: true}, {Type: net.LayerMaxPool}, {Type: net.LayerFlatten}, {Type: net.LayerDropout, Rate: 0.3},
		}}},
		Optimizer: train.Optimizer{Kind: train.AdamW, LR: 0.01, Decay: 0.1}, Schedule: train.Schedule{Kind: train.Cosine, Warmup: 3, Steps: 40}, Clip: 1, Smoothing: 0.1, Seed: 11,
	}
}

func smallBatch(i int) *train.Batch {
	n := 5
	if i%4 == 3 {
		n = 2 // the last batch of an epoch
	}
	return &train.Batch{N: n, Floats: uniform(fmt.Sprint("batch ", i), 3, n*36, 1, 0), Labels: integers(fmt.Sprint("labels ", i), 3, n, 3)}
}

func newTrainer(t testing.TB, cfg train.Config, threads int) *train.Trainer {
	t.Helper()
	pool := kernel.NewPool(threads)
	t.Cleanup(pool.Close)
	tr, err := train.New(cfg, pool)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func steps(t testing.TB, tr *train.Trainer, to int) {
	t.Helper()
	for tr.Steps() < to {
		if _, err := tr.Step(smallBatch(tr.Steps())); err != nil {
			t.Fatal(err)
		}
	}
}

func sameNumbers(t *testing.T, a, b *train.Trainer) {
	t.Helper()
	if !slices.Equal(a.Params().Values, b.Params().Values) || !slices.Equal(a.Model().Stats.Values, b.Model().Stats.Values) {
		t.Error("parameters or statistics differ")
	}
}

func TestResumeIsExact(t *testing.T) {
	t.Parallel()
	for _, o := range []train.Optimizer{{Kind: train.AdamW, LR: 0.01, Decay: 0.1}, {Kind: train.SGD, LR: 0.1, Momentum: 0.9, Nesterov: true}, {Kind: train.SGD, LR: 0.1}} {
		t.Run(fmt.Sprint(o.Kind, " ", o.Momentum), func(t *testing.T) {
			t.Parallel()
			cfg := smallCNN()
			cfg.Optimizer = o
			path := filepath.Join(t.TempDir(), "state")
			whole := newTrainer(t, cfg, 1)
			steps(t, whole, 7)
			if err := whole.Save(path, []byte("epoch 1, batch 7")); err != nil {
				t.Fatal(err)
			}
			steps(t, whole, 15)
			later := newTrainer(t, cfg, 2)
			cursor, err := later.Load(path)
			if err != nil || string(cursor) != "epoch 1, batch 7" || later.Steps() != 7 {
				t.Fatalf("loaded step %d, cursor %q, %v", later.Steps(), cursor, err)
			}
			steps(t, later, 15)
			sameNumbers(t, whole, later)
			if c, err := train.ReadConfig(path); err != nil || c.Seed != cfg.Seed {
				t.Errorf("configuration %+v, %v", c, err)
			}
		})
	}
}

// TestLoadNewer reads whole states with a later version or a field that is not known: they
// are not damaged.
func TestLoadNewer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	tr := newTrainer(t, smallCNN(), 1)
	if err := tr.Save(path, []byte("here")); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	later := bytes.Clone(good)
	later[8]++
	for name, b := range map[string][]byte{
		"it has version 2, this program knows 1": later,
		`unknown field "stop"`:                   bytes.Replace(good, []byte(`"step":`), []byte(`"stop":`), 1),
	} {
		b = b[:len(b)-sha256.Size]
		sum := sha256.Sum256(b)
		if err := os.WriteFile(path, append(bytes.Clone(b), sum[:]...), 0o600); err != nil {
			t.Fatal(err)
		}
		_, loaded := tr.Load(path)
		_, read := train.ReadConfig(path)
		for _, err := range []error{loaded, read, train.Check(path)} {
			if !errors.Is(err, train.ErrNewer) || errors.Is(err, train.ErrState) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want that it is newer: %s", err, name)
			}
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	tr := newTrainer(t, smallCNN(), 1)
	steps(t, tr, 2)
	if err := tr.Save(path, []byte("here")); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	other := smallCNN()
	other.Seed++
	for _, c := range []struct {
		name, want string
		data       []byte
		cfg        train.Config
	}{
		{"empty", "0 bytes", nil, smallCNN()},
		{"magic", "begins with", change(func(b []byte) []byte { b[0]++; return b }), smallCNN()},
		{"version", "checksum", change(func(b []byte) []byte { b[8] = 9; return b }), smallCNN()},
		{"an older version", "version 0", change(func(b []byte) []byte { b[8] = 0; return b }), smallCNN()},
		{"field", "checksum", bytes.Replace(good, []byte(`"step":`), []byte(`"stop":`), 1), smallCNN()},
		{"long header", "header of", change(func(b []byte) []byte { binary.LittleEndian.PutUint32(b[12:], 1<<31); return b }), smallCNN()},
		{"header", "header", change(func(b []byte) []byte { b[16] = '['; return b }), smallCNN()},
		{"truncated", "bytes after the header", good[:len(good)-1], smallCNN()},
		{"longer", "bytes after the header", append(bytes.Clone(good), 0), smallCNN()},
		{"one bit", "checksum", change(func(b []byte) []byte { b[len(b)-100] ^= 4; return b }), smallCNN()},
		{"other configuration", "another configuration: seed was 11 and is 12", good, other},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tr := newTrainer(t, c.cfg, 1)
			before := slices.Clone(tr.Params().Values)
			p := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-"))
			if err := os.WriteFile(p, c.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := tr.Load(p)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
			if c.name != "other configuration" && !errors.Is(err, train.ErrState) {
				t.Errorf("error %v is no ErrState", err)
			}
			if err := train.Check(p); errors.Is(err, train.ErrState) != (c.name != "other configuration") {
				t.Errorf("checked: %v", err)
			}
			if !slices.Equal(before, tr.Params().Values) || tr.Steps() != 0 {
				t.Error("a failed load changed the trainer")
			}
		})
	}
}

// A small file must not make its reader build a large model.
func TestReadConfigRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	tr := newTrainer(t, smallCNN(), 1)
	if err := tr.Save(path, nil); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := int(binary.LittleEndian.Uint32(good[12:]))
	header, rest := string(good[16:16+n]), good[16+n:]
	for _, c := range []struct{ name, from, to, want string }{
		{"larger model", `"channels":4`, `"channels":999999`, "the configuration has"},
		{"too large", `"classes":3`, `"classes":99999999`, "classes is 99999999"},
		{"moments", `"kind":"adamw"`, `"kind":"sgd"`, "the configuration has"},
		{"no optimizer", `"kind":"adamw"`, `"kind":"lion"`, "lion"},
	} {
		changed := strings.Replace(header, c.from, c.to, 1)
		if changed == header {
			t.Fatalf("%s: no %s in %s", c.name, c.from, header)
		}
		b := binary.LittleEndian.AppendUint32(bytes.Clone(good[:12]), uint32(len(changed)))
		p := filepath.Join(dir, "changed")
		if err := os.WriteFile(p, slices.Concat(b, []byte(changed), rest), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := train.ReadConfig(p); !errors.Is(err, train.ErrState) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

// TestSaveExtra saves vectors of the caller with the state, and has them back.
func TestSaveExtra(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	tr := newTrainer(t, smallCNN(), 1)
	steps(t, tr, 3)
	want := [][]float32{{1, 2, 3}, {}, {float32(math.Inf(-1))}}
	if err := tr.Save(path, []byte("here"), want...); err != nil {
		t.Fatal(err)
	}
	if err := train.Check(path); err != nil {
		t.Error(err)
	}
	got := newTrainer(t, smallCNN(), 1)
	cursor, extra, err := got.LoadExtra(path)
	if err != nil || string(cursor) != "here" || len(extra) != len(want) {
		t.Fatalf("cursor %q, %d vectors, %v", cursor, len(extra), err)
	}
	for i := range want {
		if !slices.Equal(extra[i], want[i]) {
			t.Errorf("vector %d is %v, want %v", i, extra[i], want[i])
		}
	}
	sameNumbers(t, tr, got)
	if cursor, err := got.Load(path); err != nil || string(cursor) != "here" {
		t.Errorf("cursor %q, %v", cursor, err)
	}
	if err := tr.Save(path, nil, make([][]float32, 17)...); err == nil {
		t.Error("17 vectors were saved")
	}
}

// TestTakeOver copies the state of a trainer to another, which goes on to the same bits.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	first := newTrainer(t, smallCNN(), 1)
	steps(t, first, 5)
	second := newTrainer(t, smallCNN(), 1)
	copy(second.Params().Values, first.Params().Values)
	copy(second.Stats(), first.Stats())
	for i, m := range first.Moments() {
		copy(second.Moments()[i], m)
	}
	if err := second.SetSteps(first.Steps()); err != nil {
		t.Fatal(err)
	}
	if err := second.SetSteps(-1); err == nil || second.Steps() != 5 {
		t.Errorf("set to -1 steps: %v, now %d", err, second.Steps())
	}
	steps(t, first, 9)
	steps(t, second, 9)
	sameNumbers(t, first, second)
}

func TestSaveKeepsTheOldFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	tr := newTrainer(t, smallCNN(), 1)
	if err := tr.Save(path, nil); err != nil {
		t.Fatal(err)
	}
	if err := tr.Save(path, make([]byte, 1<<21)); err == nil {
		t.Error("a huge cursor was saved")
	}
	if err := os.Mkdir(path+".tmp", 0o700); err != nil { // the file beside it cannot be made
		t.Fatal(err)
	}
	if err := tr.Save(path, nil); err == nil {
		t.Error("saving into a folder worked")
	}
	if _, err := tr.Load(path); err != nil {
		t.Errorf("the old file is gone: %v", err)
	}
}

// The test binary runs itself as a process that trains and is killed.
const (
	envState    = "COVEY_TEST_TRAIN_STATE"
	killedSteps = 250
)

func TestKilledRunsGoOn(t *testing.T) {
	if path := os.Getenv(envState); path != "" {
		trainAndSave(t, path)
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	kills := 0
	for kills < 20 {
		if !killed(t, path, time.Duration(integers("pause", uint64(kills), 1, 14)[0]+1)*time.Millisecond) {
			t.Fatalf("it got through after %d kills: more steps are needed", kills)
		}
		kills++
	}
	for i := 0; killed(t, path, time.Minute); i++ {
		if i == 3 {
			t.Fatal("the run does not get through")
		}
	}
	whole := newTrainer(t, smallCNN(), 1)
	steps(t, whole, killedSteps)
	got := newTrainer(t, smallCNN(), 1)
	if _, err := got.Load(path); err != nil || got.Steps() != killedSteps {
		t.Fatalf("state of step %d, %v", got.Steps(), err)
	}
	sameNumbers(t, whole, got)
}

// killed lets a process train, kills it some time after it has begun to, and reports
// whether that was before it was done.
func killed(t *testing.T, path string, after time.Duration) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledRunsGoOn$")
	cmd.Env = append(os.Environ(), envState+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 1)
	_, _ = out.Read(first) // it has loaded
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	for err := error(nil); err == nil; {
		_, err = out.Read(first)
	}
	return cmd.Wait() != nil
}

func trainAndSave(t *testing.T, path string) {
	tr := newTrainer(t, smallCNN(), 1)
	if _, err := tr.Load(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Println(err)
		os.Exit(3)
	}
	fmt.Println(strconv.Itoa(tr.Steps()))
	for tr.Steps() < killedSteps {
		steps(t, tr, tr.Steps()+1)
		if err := tr.Save(path, nil); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
	}
}

func FuzzLoad(f *testing.F) {
	tr := newTrainer(f, smallCNN(), 1)
	path := filepath.Join(f.TempDir(), "state")
	if err := tr.Save(path, []byte("cursor")); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	if err := tr.Save(path, []byte("cursor"), []float32{1, 2}, nil); err != nil {
		f.Fatal(err)
	}
	extra, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(extra)
	f.Add(good[:100])
	f.Add([]byte("COVEYTRN"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := slices.Clone(tr.Params().Values)
		if err := tr.ReadState(data); err != nil && !slices.Equal(before, tr.Params().Values) {
			t.Error("a failed load changed the trainer")
		}
	})
}
