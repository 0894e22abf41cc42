package job

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// Point is a row of the history: a step, or a validation after it.
type Point struct {
	Step       int
	Epoch      int     // of a step the current one from 1, of a validation whole ones done
	Validation bool    // the row is a validation
	Loss       float64 // of the step's batch, or of all data for validation
	Metric     float64
	LR         float64 // of a step
}

// history writes history.csv.
type history struct {
	f    *os.File
	w    *bufio.Writer
	n    int64 // bytes
	head string
	row  []byte

	failed bool // writing did: told already
}

func openHistory(path, metric string) (*history, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open history: %w", err)
	}
	return newHistory(f, metric), nil
}

func newHistory(f *os.File, metric string) *history {
	return &history{f: f, w: bufio.NewWriter(f), head: "kind,step,epoch,loss," + metric + ",lr\n"}
}

// rewind cuts off what was written after n bytes and returns the length that is left: less
// if rows have been lost, and with the line of names if all have.
func (h *history) rewind(n int64) (int64, error) {
	info, err := h.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("history: %w", err)
	}
	if h.n, err = h.rows(min(n, info.Size())); err != nil {
		return 0, fmt.Errorf("history: %w", err)
	}
	if err := h.f.Truncate(h.n); err != nil {
		return 0, fmt.Errorf("history: %w", err)
	}
	if _, err := h.f.Seek(h.n, io.SeekStart); err != nil {
		return 0, fmt.Errorf("history: %w", err)
	}
	if h.n == 0 {
		h.row = append(h.row[:0], h.head...)
		return h.write()
	}
	return h.n, nil
}

// maxRow is more than a row of the history takes.
const maxRow = 1 << 10

// rows returns the length of the whole rows in the first n bytes.
func (h *history) rows(n int64) (int64, error) {
	from := max(0, n-maxRow)
	tail := make([]byte, n-from)
	if _, err := h.f.ReadAt(tail, from); err != nil {
		return 0, err
	}
	return from + int64(bytes.LastIndexByte(tail, '\n')+1), nil
}

func (h *history) write() (int64, error) {
	n, err := h.w.Write(h.row)
	h.n += int64(n)
	if err != nil {
		h.failed = true
		err = fmt.Errorf("write history: %w", err)
	}
	return h.n, err
}

func (h *history) start(kind string, step, epoch int) {
	h.row = append(h.row[:0], kind...)
	for _, v := range []int{step, epoch} {
		h.row = strconv.AppendInt(append(h.row, ','), int64(v), 10)
	}
}

func (h *history) number(v float64) {
	h.row = strconv.AppendFloat(append(h.row, ','), v, 'g', 9, 64)
}

// step writes a step and returns the length of the history.
func (h *history) step(p Progress) (int64, error) {
	h.start("train", p.Step, p.Epoch)
	h.number(p.Loss)
	h.number(p.Metric)
	h.number(p.LR)
	h.row = append(h.row, '\n')
	return h.write()
}

// validation writes a validation.
func (h *history) validation(v Validation) (int64, error) {
	h.start("validation", v.Step, v.Epoch)
	h.number(v.Loss)
	h.number(v.Metric)
	h.row = append(h.row, ",\n"...)
	return h.write()
}

// sync puts the rows on disk.
func (h *history) sync() error {
	if err := h.w.Flush(); err != nil {
		h.failed = true
		return fmt.Errorf("write history: %w", err)
	}
	if err := h.f.Sync(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

func (h *history) close() error {
	var err error
	if !h.failed {
		err = h.w.Flush()
	}
	if err = errors.Join(err, h.f.Close()); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// ReadHistory reads the history.csv of a run.
func ReadHistory(path string) ([]Point, error) {
	points, err := readHistory(path)
	if err != nil {
		return nil, err
	}
	return points, nil
}

// readHistory returns the rows before an error too.
func readHistory(path string) ([]Point, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReader(f))
	r.FieldsPerRecord = 6
	r.ReuseRecord = true
	var out []Point
	for line := 1; ; line++ {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("read history: %w", err)
		}
		if line == 1 {
			continue
		}
		p, err := point(rec)
		if err != nil {
			return out, fmt.Errorf("read history: line %d: %w", line, err)
		}
		out = append(out, p)
	}
}

func point(rec []string) (Point, error) {
	p := Point{Validation: rec[0] == "validation"}
	var errs [5]error
	p.Step, errs[0] = strconv.Atoi(rec[1])
	p.Epoch, errs[1] = strconv.Atoi(rec[2])
	p.Loss, errs[2] = strconv.ParseFloat(rec[3], 64)
	p.Metric, errs[3] = strconv.ParseFloat(rec[4], 64)
	if !p.Validation {
		p.LR, errs[4] = strconv.ParseFloat(rec[5], 64)
	}
	return p, errors.Join(errs[:]...)
}
