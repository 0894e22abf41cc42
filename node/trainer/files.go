package trainer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// The files of a member, in the folder swarm within that of the run.
const (
	roundFile     = "round.json"   // what the machine must not forget
	stateFile     = "state"        // the certified state that the running round begins with
	candidateFile = "candidate"    // the state that may be the next one; a vote rests on it
	chainFile     = "chain"        // certificates, one after the other
	jobFile       = "job"          // the signed job
	swarmDir      = "swarm"        //
	stateMagic    = "COVEYSWS\x01" // then number and lengths of the vectors, the vectors, little endian
)

// files keeps what a member must find again after a kill.
type files struct{ dir string }

// writeAtomic replaces a file by what write writes, at once or not at all, durably.
func (f files) writeAtomic(name string, write func(w io.Writer) error) (err error) {
	path := filepath.Join(f.dir, name)
	tmp, err := os.CreateTemp(f.dir, name+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tmp.Close(), os.Remove(tmp.Name()))
		}
	}()
	b := bufio.NewWriterSize(tmp, 1<<20)
	if err := errors.Join(write(b), b.Flush()); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return f.syncDir()
}

func (f files) syncDir() error {
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrInvalid) {
		err = nil // Windows
	}
	return errors.Join(err, d.Close())
}

// writeRound keeps the machine's state.
func (f files) writeRound(s *round.Saved) error {
	b, err := s.Encode()
	if err != nil {
		return err
	}
	return f.writeAtomic(roundFile, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// readRound returns the machine's state, nil if there is none.
func (f files) readRound() (*round.Saved, error) {
	b, err := os.ReadFile(filepath.Join(f.dir, roundFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return round.DecodeSaved(b)
}

// writeState writes vectors to a file.
func (f files) writeState(name string, vectors [][]float32) error {
	return f.writeAtomic(name, func(w io.Writer) error {
		head := append([]byte(stateMagic), byte(len(vectors)))
		for _, v := range vectors {
			head = binary.LittleEndian.AppendUint64(head, uint64(len(v)))
		}
		if _, err := w.Write(head); err != nil {
			return err
		}
		var buf [1 << 16]byte
		for _, v := range vectors {
			for len(v) > 0 {
				n := min(len(v), len(buf)/4)
				for i, x := range v[:n] {
					binary.LittleEndian.PutUint32(buf[4*i:], math.Float32bits(x))
				}
				if _, err := w.Write(buf[:4*n]); err != nil {
					return err
				}
				v = v[n:]
			}
		}
		return nil
	})
}

// readState reads vectors of a layout from a file; nil if there is no such file.
func (f files) readState(name string, layout checkpoint.Layout) ([][]float32, error) {
	file, err := os.Open(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := bufio.NewReaderSize(file, 1<<20)
	head := make([]byte, len(stateMagic)+1+8*len(layout))
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("%s: %w", file.Name(), err)
	}
	want := append([]byte(stateMagic), byte(len(layout)))
	for _, n := range layout {
		want = binary.LittleEndian.AppendUint64(want, uint64(n))
	}
	if string(head) != string(want) {
		return nil, fmt.Errorf("%s: %w", file.Name(), errLayout)
	}
	out := make([][]float32, len(layout))
	var buf [1 << 16]byte
	for i, n := range layout {
		out[i] = make([]float32, n)
		for left := out[i]; len(left) > 0; {
			k := min(len(left), len(buf)/4)
			if _, err := io.ReadFull(r, buf[:4*k]); err != nil {
				return nil, fmt.Errorf("%s: %w", file.Name(), err)
			}
			for j := range left[:k] {
				left[j] = math.Float32frombits(binary.LittleEndian.Uint32(buf[4*j:]))
			}
			left = left[k:]
		}
	}
	return out, nil
}

// promote makes the candidate the state.
func (f files) promote() error {
	if err := os.Rename(filepath.Join(f.dir, candidateFile), filepath.Join(f.dir, stateFile)); err != nil {
		return err
	}
	return f.syncDir()
}

// writeJob keeps the signed job.
func (f files) writeJob(s *train.Sealed) error {
	b, err := wire.Encode(s)
	if err != nil {
		return err
	}
	return f.writeAtomic(jobFile, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// readJob returns the signed job, nil if there is none.
func (f files) readJob() (*train.Sealed, error) {
	b, err := os.ReadFile(filepath.Join(f.dir, jobFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := new(train.Sealed)
	return s, wire.Decode(b, s)
}

// appendCertificate adds a certificate to the chain.
func (f files) appendCertificate(s *train.Sealed) error {
	b, err := wire.Encode(s)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(f.dir, chainFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...))
	return errors.Join(err, file.Close())
}

// readChain returns the certificates of the chain, up to one that was cut off.
func (f files) readChain() ([]*train.Sealed, error) {
	file, err := os.Open(filepath.Join(f.dir, chainFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r := bufio.NewReader(file)
	var out []*train.Sealed
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return out, nil // the end, or what a kill left of a write
		}
		n := binary.LittleEndian.Uint32(size[:])
		if n > train.MaxSealed {
			return out, nil
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return out, nil
		}
		s := new(train.Sealed)
		if wire.Decode(b, s) != nil {
			return out, nil
		}
		out = append(out, s)
	}
}
