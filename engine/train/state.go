package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/engine/train/net"
)

// A state file, all numbers little endian:
//
//	8 bytes  magic
//	4 bytes  version
//	4 bytes  n, length of the header
//	n bytes  header: JSON of stateHeader
//	float32  parameters, running statistics, moments of the optimiser one after the other
//	float32  vectors of the caller one after the other
//	bytes    cursor of the caller
//	32 bytes SHA-256 of all before
//
// Whatever the version, the file begins with magic and version and ends with the checksum.
const (
	stateMagic   = "COVEYTRN"
	stateVersion = 1

	maxStateHeader = 1 << 20
	maxCursor      = 1 << 20
	maxExtra       = 16
	maxSteps       = 1 << 40
	stateChunk     = 1 << 16 // bytes that are converted at a time
)

// stateHeader tells what is in a state file. Random choices come from the seed in the
// configuration and the step, so the two are the whole state of randomness.
type stateHeader struct {
	Config  Config `json:"config"`
	Step    int    `json:"step"`
	Params  int    `json:"params"`          // elements
	Stats   int    `json:"stats"`           // elements
	Moments int    `json:"moments"`         // vectors as long as the parameters
	Extra   []int  `json:"extra,omitempty"` // elements of each vector of the caller
	Cursor  int    `json:"cursor"`          // bytes
}

// ErrState is the error of a file that is not a state file, or a damaged one.
var ErrState = errors.New("not a whole training state")

// ErrNewer is the error of a whole state file that a newer version of this program wrote.
var ErrNewer = errors.New("written by a newer version of this program: go on with that one, or begin anew in another folder")

// Save writes all that is needed to go on exactly: configuration, step, parameters, running
// statistics, state of the optimiser, the caller's cursor in its data (at most 1 MiB), and
// extra vectors of the caller (at most 16). The file replaces an older one at once or not at
// all, whenever the process or the machine stops.
func (t *Trainer) Save(path string, cursor []byte, extra ...[]float32) error {
	if len(cursor) > maxCursor || len(extra) > maxExtra {
		return fmt.Errorf("save training state: cursor of %d bytes and %d vectors, at most %d and %d", len(cursor), len(extra), maxCursor, maxExtra)
	}
	err := writeFile(path, func(w io.Writer) error { return t.write(w, cursor, extra) })
	if err != nil {
		return fmt.Errorf("save training state: %w", err)
	}
	return nil
}

// writeFile writes a file beside the place and moves it there once it is on disk.
func writeFile(path string, write func(w io.Writer) error) (err error) {
	temp := path + ".tmp" // of a process that was killed, it is overwritten
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(temp)
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a renaming last.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrInvalid) {
		return err
	}
	return nil
}

// numbers are all that a state file has of the trainer.
func (t *Trainer) numbers() [][]float32 {
	return append([][]float32{t.model.Params.Values, t.model.Stats.Values}, t.opt.moments...)
}

func (t *Trainer) header(cursor int) stateHeader {
	return stateHeader{
		Config: t.cfg, Step: t.step, Params: len(t.model.Params.Values), Stats: len(t.model.Stats.Values),
		Moments: len(t.opt.moments), Cursor: cursor,
	}
}

func (t *Trainer) write(w io.Writer, cursor []byte, extra [][]float32) error {
	h := t.header(len(cursor))
	for _, v := range extra {
		h.Extra = append(h.Extra, len(v))
	}
	header, err := json.Marshal(h)
	if err != nil {
		return err
	}
	sum := sha256.New()
	out := io.MultiWriter(w, sum)
	head := append([]byte(stateMagic), 0, 0, 0, 0, 0, 0, 0, 0)
	binary.LittleEndian.PutUint32(head[8:], stateVersion)
	binary.LittleEndian.PutUint32(head[12:], uint32(len(header)))
	if _, err := out.Write(append(head, header...)); err != nil {
		return err
	}
	for _, part := range append(t.numbers(), extra...) {
		if err := writeFloats(out, part); err != nil {
			return err
		}
	}
	if _, err := out.Write(cursor); err != nil {
		return err
	}
	_, err = w.Write(sum.Sum(nil))
	return err
}

func writeFloats(w io.Writer, x []float32) error {
	buf := make([]byte, 0, stateChunk)
	for len(x) > 0 {
		n := min(len(x), stateChunk/4)
		buf = buf[:0]
		for _, v := range x[:n] {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		x = x[n:]
	}
	return nil
}

// Load takes over what Save wrote and returns the cursor. The configuration must be the
// one of this trainer, but for the schedule. Nothing has changed if there is an error.
func (t *Trainer) Load(path string) (cursor []byte, err error) {
	cursor, _, err = t.LoadExtra(path)
	return cursor, err
}

// LoadExtra is Load for callers that gave Save vectors of their own: it returns those too.
// They take no more memory than the file is long.
func (t *Trainer) LoadExtra(path string) (cursor []byte, extra [][]float32, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("load training state: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("load training state: %w", err)
	}
	cursor, extra, err = t.read(f, info.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("load training state %q: %w", path, newer(f, info.Size(), err))
	}
	return cursor, extra, nil
}

// ReadConfig returns the configuration in the header of a state file, which is valid and
// whose model is as large as the file says. Its numbers are not read or checked.
func ReadConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("read training state: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Config{}, fmt.Errorf("read training state: %w", err)
	}
	h, _, err := readHeader(f, info.Size())
	if err != nil {
		return Config{}, fmt.Errorf("read training state %q: %w", path, newer(f, info.Size(), err))
	}
	if err := h.describes(); err != nil {
		return Config{}, fmt.Errorf("read training state %q: %w", path, err)
	}
	return h.Config, nil
}

// Check reports whether a state file is whole, without taking anything over.
func Check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check training state: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("check training state: %w", err)
	}
	sum := sha256.New()
	_, n, err := readHeader(io.TeeReader(f, sum), info.Size())
	if err == nil {
		_, err = io.CopyN(sum, f, info.Size()-n-sha256.Size)
	}
	if err == nil {
		err = checkSum(f, sum)
	}
	if err != nil {
		return fmt.Errorf("check training state %q: %w", path, newer(f, info.Size(), err))
	}
	return nil
}

// newer returns err, unless it says that a file is of a newer version and the checksum shows
// that the file is damaged.
func newer(f io.ReadSeeker, size int64, err error) error {
	if !errors.Is(err, ErrNewer) {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, size-sha256.Size); err != nil {
		return fmt.Errorf("%w: %v", ErrState, err)
	}
	if err := checkSum(f, sum); err != nil {
		return err
	}
	return err
}

// describes checks that the configuration is one of a model with as many numbers as the
// header says, which are in the file: whoever makes the model takes no more memory than that.
func (h *stateHeader) describes() error {
	if err := h.Config.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	params, stats, err := net.Sizes(h.Config.Model)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if moments := h.Config.Optimizer.moments(); params != h.Params || stats != h.Stats || moments != h.Moments {
		return fmt.Errorf("%w: %d parameters, %d statistics, %d moments; the configuration has %d, %d, %d",
			ErrState, h.Params, h.Stats, h.Moments, params, stats, moments)
	}
	return nil
}

// readHeader reads up to the numbers and returns how many bytes that were. The size of the
// file is checked against the header before anything of that size is allocated.
func readHeader(r io.Reader, size int64) (*stateHeader, int64, error) {
	var head [16]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, 0, fmt.Errorf("%w: %d bytes", ErrState, size)
	}
	if string(head[:8]) != stateMagic {
		return nil, 0, fmt.Errorf("%w: it begins with %q", ErrState, head[:8])
	}
	switch v := binary.LittleEndian.Uint32(head[8:]); {
	case v > stateVersion:
		return nil, 0, fmt.Errorf("%w: it has version %d, this program knows %d", ErrNewer, v, stateVersion)
	case v < stateVersion:
		return nil, 0, fmt.Errorf("%w: version %d, this program knows %d", ErrState, v, stateVersion)
	}
	n := int64(binary.LittleEndian.Uint32(head[12:]))
	if n > maxStateHeader || n > size-int64(len(head)) {
		return nil, 0, fmt.Errorf("%w: header of %d bytes in a file of %d", ErrState, n, size)
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, 0, fmt.Errorf("%w: %v", ErrState, err)
	}
	h := &stateHeader{}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, 0, fmt.Errorf("%w: header: %v", ErrState, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&stateHeader{}); err != nil {
		return nil, 0, fmt.Errorf("%w: header: %v", ErrNewer, err)
	}
	if err := h.check(size - int64(len(head)) - n - sha256.Size); err != nil {
		return nil, 0, err
	}
	return h, int64(len(head)) + n, nil
}

// check compares the header with the number of bytes that follow.
func (h *stateHeader) check(body int64) error {
	if len(h.Extra) > maxExtra {
		return fmt.Errorf("%w: %d vectors of the caller, at most %d", ErrState, len(h.Extra), maxExtra)
	}
	extra := int64(0)
	for _, v := range append([]int{h.Params, h.Stats, h.Cursor, h.Step}, h.Extra...) {
		if v < 0 || v > maxSteps {
			return fmt.Errorf("%w: a count in the header is %d", ErrState, v)
		}
	}
	if h.Moments < 0 || h.Moments > 2 || h.Cursor > maxCursor {
		return fmt.Errorf("%w: %d moments, cursor of %d bytes", ErrState, h.Moments, h.Cursor)
	}
	for _, v := range h.Extra {
		extra += int64(v)
	}
	if want := 4*(int64(h.Params)*int64(1+h.Moments)+int64(h.Stats)+extra) + int64(h.Cursor); body != want {
		return fmt.Errorf("%w: %d bytes after the header, want %d", ErrState, body, want)
	}
	return nil
}

// fits compares the header with the trainer that shall go on with it.
func (h *stateHeader) fits(t *Trainer) error {
	own := t.header(h.Cursor)
	theirs := h.Config
	theirs.Schedule = own.Config.Schedule // may be made longer
	if d := Differences(Keys(theirs), Keys(own.Config)); len(d) > 0 {
		return &ConfigError{d}
	}
	if h.Params != own.Params || h.Stats != own.Stats || h.Moments != own.Moments {
		return fmt.Errorf("%w: %d parameters, %d statistics, %d moments; the model has %d, %d, %d", ErrState, h.Params, h.Stats, h.Moments, own.Params, own.Stats, own.Moments)
	}
	return nil
}

func (t *Trainer) read(f io.Reader, size int64) (cursor []byte, extra [][]float32, err error) {
	sum := sha256.New()
	r := io.TeeReader(f, sum)
	h, _, err := readHeader(r, size)
	if err != nil {
		return nil, nil, err
	}
	if err := h.fits(t); err != nil {
		return nil, nil, err
	}
	own := t.numbers()
	read := make([][]float32, len(own)+len(h.Extra))
	for i := range read {
		n := 0
		if i < len(own) {
			n = len(own[i])
		} else {
			n = h.Extra[i-len(own)]
		}
		read[i] = make([]float32, n)
		if err := readFloats(r, read[i]); err != nil {
			return nil, nil, err
		}
	}
	cursor = make([]byte, h.Cursor)
	if _, err := io.ReadFull(r, cursor); err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrState, err)
	}
	if err := checkSum(f, sum); err != nil {
		return nil, nil, err
	}
	for i := range own {
		copy(own[i], read[i])
	}
	t.step = h.Step
	return cursor, read[len(own):], nil
}

func checkSum(f io.Reader, sum hash.Hash) error {
	var stored [sha256.Size]byte
	if _, err := io.ReadFull(f, stored[:]); err != nil {
		return fmt.Errorf("%w: %v", ErrState, err)
	}
	if !bytes.Equal(stored[:], sum.Sum(nil)) {
		return fmt.Errorf("%w: its checksum is wrong", ErrState)
	}
	return nil
}

func readFloats(r io.Reader, x []float32) error {
	buf := make([]byte, stateChunk)
	for len(x) > 0 {
		n := min(len(x), stateChunk/4)
		if _, err := io.ReadFull(r, buf[:4*n]); err != nil {
			return fmt.Errorf("%w: %v", ErrState, err)
		}
		for i := range n {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*i:]))
		}
		x = x[n:]
	}
	return nil
}
