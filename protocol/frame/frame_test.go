package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
)

// limits of the tests: type 1 is small, type 2 is big.
func limits() frame.Limits { return frame.Limits{1: 8, 2: 2 << 20} }

func written(tb testing.TB, write func(w *frame.Writer) error) []byte {
	tb.Helper()
	var buf bytes.Buffer
	w := frame.NewWriter(&buf)
	if err := errors.Join(write(w), w.Flush()); err != nil {
		tb.Fatal(err)
	}
	return buf.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("covey"), 300000)
	data := written(t, func(w *frame.Writer) error {
		return errors.Join(w.Write(1), w.Write(1, []byte("abc"), []byte("def")), w.Write(2, []byte("head"), big), w.Write(1, []byte("end")))
	})
	r := frame.NewReader(iotest.HalfReader(bytes.NewReader(data)), limits())
	for i, want := range []struct {
		typ  frame.Type
		data string
	}{{1, ""}, {1, "abcdef"}, {2, "head" + string(big)}, {1, "end"}} {
		typ, got, err := r.Next()
		if err != nil || typ != want.typ || string(got) != want.data {
			t.Fatalf("frame %d: got type %d, %d bytes, %v", i, typ, len(got), err)
		}
	}
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: got %v, want EOF", err)
	}
}

func TestHeaderAndPayload(t *testing.T) {
	t.Parallel()
	data := written(t, func(w *frame.Writer) error {
		return errors.Join(w.Write(2, []byte("headdata")), w.Write(1, []byte("next")))
	})
	r := frame.NewReader(bytes.NewReader(data), limits())
	typ, n, err := r.Header()
	if err != nil || typ != 2 || n != 8 {
		t.Fatalf("got %d %d %v", typ, n, err)
	}
	head := make([]byte, 4)
	if err := r.Payload(head); err != nil || string(head) != "head" {
		t.Fatalf("got %q, %v", head, err)
	}
	if err := r.Payload(make([]byte, 5)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("reading over the frame: %v", err)
	}
	if _, got, err := r.Next(); err != nil || string(got) != "next" {
		t.Errorf("the rest was not passed over: %q %v", got, err)
	}
}

func TestBadFrames(t *testing.T) {
	t.Parallel()
	var size *frame.SizeError
	var typ *frame.TypeError
	for _, c := range []struct {
		name string
		data []byte
		ok   func(error) bool
	}{
		{"zero length", []byte{0, 1}, func(err error) bool { return errors.Is(err, frame.ErrMalformed) }},
		{"longer length than needed", []byte{0x81, 0, 1}, func(err error) bool { return errors.Is(err, frame.ErrMalformed) }},
		{"endless length", bytes.Repeat([]byte{0xff}, 20), func(err error) bool { return errors.Is(err, frame.ErrMalformed) }},
		{"length over every limit", binary.AppendUvarint(nil, protocol.MaxFrame+1), func(err error) bool { return errors.As(err, &size) && size.Type == 0 }},
		{"over the limit of its type", []byte{10, 1}, func(err error) bool { return errors.As(err, &size) && size.Type == 1 && size.Max == 8 }},
		{"unknown type", []byte{2, 77, 0}, func(err error) bool { return errors.As(err, &typ) && typ.Type == 77 && typ.Size == 1 }},
		{"cut in the length", []byte{0x81}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"cut before the type", []byte{3}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		{"cut in the payload", []byte{3, 1, 0}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
	} {
		if _, _, err := frame.NewReader(bytes.NewReader(c.data), limits()).Next(); !c.ok(err) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestUnknownTypeCanBeSkipped(t *testing.T) {
	t.Parallel()
	data := written(t, func(w *frame.Writer) error { return errors.Join(w.Write(9, []byte("new")), w.Write(1, []byte("old"))) })
	r := frame.NewReader(bytes.NewReader(data), limits())
	var typ *frame.TypeError
	if _, _, err := r.Next(); !errors.As(err, &typ) {
		t.Fatal(err)
	}
	if _, got, err := r.Next(); err != nil || string(got) != "old" {
		t.Errorf("got %q %v", got, err)
	}
}

// TestLimitBeforeAllocation has a header of 32 MiB of a small type: nothing is allocated.
func TestLimitBeforeAllocation(t *testing.T) { // not parallel: it counts allocations
	data := append(binary.AppendUvarint(nil, 30<<20), 1)
	src := bytes.NewReader(data)
	got := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			src.Reset(data)
			if _, _, err := frame.NewReader(src, frame.Limits{1: 8}).Next(); err == nil {
				b.Fatal("an oversize frame passes")
			}
		}
	})
	if n := got.AllocedBytesPerOp(); n > 64<<10 {
		t.Errorf("%d bytes allocated for a refused frame", n)
	}
}

func TestWriterRefusesOversize(t *testing.T) {
	t.Parallel()
	var size *frame.SizeError
	if err := frame.NewWriter(io.Discard).Write(1, make([]byte, protocol.MaxFrame)); !errors.As(err, &size) {
		t.Errorf("got %v", err)
	}
}

func TestTensor(t *testing.T) {
	t.Parallel()
	want := []byte("four and twenty bytes ..")
	in := frame.Tensor{DType: frame.F32, Shape: []int{2, 3}, Data: want}
	head, err := in.Header()
	if err != nil {
		t.Fatal(err)
	}
	out, err := frame.ParseTensor(append(head, in.Data...))
	if err != nil || out.DType != frame.F32 || !slices.Equal(out.Shape, []int{2, 3}) || !bytes.Equal(out.Data, want) {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestBadTensors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"nothing", nil},
		{"unknown type", []byte{99, 1, 1, 0}},
		{"rank 0", []byte{1, 0, 0, 0, 0, 0}},
		{"rank 5", []byte{5, 5, 1, 1, 1, 1, 1, 0}},
		{"dimension 0", []byte{5, 1, 0}},
		{"dimension longer than needed", []byte{5, 1, 0x81, 0, 7}},
		{"dimension cut", []byte{5, 1, 0x81}},
		{"too little data", []byte{1, 1, 2, 0, 0, 0, 0}},
		{"too much data", []byte{5, 1, 1, 0, 0}},
		{"product overflows", append(bytes.Repeat([]byte{0xff, 0xff, 0xff, 0x0f}, 4), 0)},
		{"product over the limit", append([]byte{5, 4}, bytes.Repeat([]byte{0x80, 0x80, 0x80, 0x10}, 4)...)},
	} {
		if _, err := frame.ParseTensor(c.data); !errors.Is(err, frame.ErrTensor) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
	if _, err := (frame.Tensor{DType: frame.F32, Shape: []int{2}, Data: make([]byte, 4)}).Header(); !errors.Is(err, frame.ErrTensor) {
		t.Errorf("header of a tensor that contradicts itself: %v", err)
	}
}

// FuzzReader checks that any bytes give frames within the limits or an error, and that
// frames read are written back as the same bytes.
func FuzzReader(f *testing.F) {
	f.Add(written(f, func(w *frame.Writer) error {
		return errors.Join(w.Write(1, []byte("abc")), w.Write(2, make([]byte, 300)))
	}))
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := frame.NewReader(bytes.NewReader(data), limits())
		var back bytes.Buffer
		w := frame.NewWriter(&back)
		for {
			typ, payload, err := r.Next()
			if err != nil {
				break
			}
			if len(payload) > limits()[typ] {
				t.Fatalf("type %d of %d bytes", typ, len(payload))
			}
			if err := w.Write(typ, payload); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil || !bytes.HasPrefix(data, back.Bytes()) {
			t.Fatalf("written back: %x of %x, %v", back.Bytes(), data, err)
		}
	})
}

// FuzzTensor checks that a tensor that parses has a header that gives the same bytes.
func FuzzTensor(f *testing.F) {
	f.Add([]byte{1, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0x80, 0x3f})
	f.Add([]byte{5, 4, 1, 1, 1, 1, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := frame.ParseTensor(data)
		if err != nil {
			return
		}
		head, err := x.Header()
		if err != nil || !bytes.Equal(append(head, x.Data...), data) {
			t.Fatalf("%x gives header %x: %v", data, head, err)
		}
	})
}
