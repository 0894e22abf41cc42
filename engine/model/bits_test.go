package model_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

// bitFixtures cover float types, every quantisation of importing, K-quants, the window
// and all features of the blocks.
var bitFixtures = []struct {
	name     string
	quantize tensor.DType
}{
	{"llama3", 0},
	{"mistral", 0},
	{"qwen2", tensor.Q8_0},
	{"qwen3", tensor.Q4_0},
	{"llama256-Q2_K", 0},
}

// TestSameBits checks that logits do not depend on how a sequence is cut, batched,
// threaded or split over stages.
func TestSameBits(t *testing.T) {
	t.Parallel()
	for _, f := range bitFixtures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			path := unpack(t, f.name)
			var ref reference
			readReference(t, path, &ref)
			c := importModel(t, path, f.quantize)
			one, two := pool(t, 1), pool(t, 2)
			whole := load(t, c, c.Config.Whole(), one)
			n := len(ref.IDs)
			want := open(t, n, whole).step(t, ref.IDs, model.LogitsAll)

			logDigest(t, f.name, want)
			sameBits(t, "one token at a time", open(t, n, whole).singly(t, ref.IDs), want)
			sameBits(t, "two threads", open(t, n, load(t, c, c.Config.Whole(), two)).step(t, ref.IDs, model.LogitsAll), want)
			cut := open(t, n, whole)
			var got []float32
			for _, to := range []int{5, 6, 29, n} {
				got = append(got, cut.step(t, ref.IDs[cut.sessions[0].Len():to], model.LogitsAll)...)
			}
			sameBits(t, "prompt in pieces", got, want)
			cut.rollback(t, 11)
			vocab := c.Config.Vocab()
			sameBits(t, "after a rollback", cut.step(t, ref.IDs[11:], model.LogitsAll), want[11*vocab:])

			var stages []*model.Stage
			for _, r := range thirds(c.Config.Blocks()) {
				stages = append(stages, load(t, c, r, two))
			}
			sameBits(t, "three stages", open(t, n, stages...).step(t, ref.IDs, model.LogitsAll), want)
			sameBits(t, "three stages, one token at a time", open(t, n, stages...).singly(t, ref.IDs), want)
			testBatches(t, whole, ref.IDs, want)
		})
	}
}

// testBatches runs the sequence together with others, in batches below and above what
// fits in one chunk.
func testBatches(t *testing.T, s *model.Stage, ids []int32, want []float32) {
	t.Helper()
	vocab := s.Config().Vocab()
	for _, size := range []int{7, 23} {
		batch := make([]model.Input, size)
		var chains []*chain
		for i := range batch {
			other := append([]int32(nil), ids[i%len(ids):]...)
			if i%3 == 2 {
				other = ids // the sequence itself, at several places
			}
			chains = append(chains, open(t, len(ids), s))
			batch[i] = model.Input{Session: chains[i].sessions[0], Tokens: other, Logits: model.LogitsAll}
		}
		out, err := s.Forward(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i := 2; i < size; i += 3 {
			sameBits(t, fmt.Sprintf("number %d of a batch of %d", i, size), out[i].Logits, want)
		}
		// All sessions go on with one token each.
		for i := range batch {
			if i%3 == 2 {
				chains[i].rollback(t, len(ids)-1)
				batch[i] = model.Input{Session: chains[i].sessions[0], Tokens: ids[len(ids)-1:], Logits: model.LogitsLast}
			} else {
				chains[i].rollback(t, 1)
				batch[i] = model.Input{Session: chains[i].sessions[0], Tokens: ids[:1+i%4], Logits: model.LogitsLast}
			}
		}
		if out, err = s.Forward(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		for i := 2; i < size; i += 3 {
			sameBits(t, fmt.Sprintf("step of number %d of %d", i, size), out[i].Logits, want[len(want)-vocab:])
		}
	}
}

// envChild makes the test binary print digests of its logits; see
// TestSameBitsOnAllInstructionSets.
const envChild = "COVEY_TEST_DIGEST"

// TestSameBitsOnAllInstructionSets runs TestSameBits and the digests of an encoder and of models of images and tables in a
// process of its own for each instruction set that the machine has: with the checks of
// that test, equal digests make all its variants equal on all of them.
func TestSameBitsOnAllInstructionSets(t *testing.T) {
	t.Parallel()
	var want []string
	var names []string
	for _, isa := range kernel.Supported() {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^(TestSameBits|TestDigestOfEncoder|TestDigestOfImages|TestDigestOfTables)$", "-test.v")
		cmd.Env = append(os.Environ(), envChild+"=1", kernel.EnvCPU+"="+isa.String())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", isa, err, out)
		}
		var got []string
		for line := range strings.Lines(string(out)) {
			if _, digest, ok := strings.Cut(line, "digest "); ok {
				got = append(got, strings.TrimSpace(digest))
			}
		}
		slices.Sort(got)
		if len(got) != len(bitFixtures)+3 {
			t.Fatalf("%v: %d digests in %s", isa, len(got), out)
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v gives\n%s\n%v gives\n%s", isa, strings.Join(got, "\n"), kernel.Supported()[0], strings.Join(want, "\n"))
		}
		names = append(names, isa.String())
	}
	t.Logf("covered: %s", strings.Join(names, ", "))
}

// logDigest prints a digest of results for TestSameBitsOnAllInstructionSets.
func logDigest(t *testing.T, name string, results []float32) {
	t.Helper()
	if os.Getenv(envChild) == "" {
		return
	}
	h := sha256.New()
	if err := binary.Write(h, binary.LittleEndian, results); err != nil {
		t.Fatal(err)
	}
	t.Logf("digest %s %x", name, h.Sum(nil))
}

// TestDigestOfEncoder checks that an encoder gives the same on one and two threads.
func TestDigestOfEncoder(t *testing.T) {
	t.Parallel()
	path := unpack(t, "bert")
	var ref bertReference
	readReference(t, path, &ref)
	c := importModel(t, path, 0)
	var results [2][]float32
	for i := range results {
		s := load(t, c, c.Config.Whole(), pool(t, 1+i))
		for _, ids := range ref.Texts {
			out, err := s.Forward(t.Context(), []model.Input{{Tokens: ids}})
			if err != nil {
				t.Fatal(err)
			}
			results[i] = append(results[i], out[0].Pooled...)
		}
	}
	sameBits(t, "two threads", results[1], results[0])
	logDigest(t, "bert", results[0])
}
