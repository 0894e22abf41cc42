package trainer

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// The files of a member, in the folder swarm within that of the run.
const (
	roundFile     = "round.json"   // what the machine must not forget
	stateFile     = "state"        // a certified state; results make the later ones of it
	candidateFile = "candidate"    // the state that one member alone may have next; its vote rests on it
	updateFile    = "update"       // the slices that this member has committed to in the running round
	spareFile     = "spare"        // the state before; it is of no use, but for its place
	chainFile     = "chain"        // certificates, one after the other
	resultsDir    = "results"      // the slices that owners made since the state, by hash; votes rest on them
	jobFile       = "job"          // the signed job
	swarmDir      = "swarm"        //
	stateMagic    = "COVEYSWS\x01" // then number and lengths of the vectors, the vectors, little endian
)

// tmpSuffix ends the names of files that are not whole yet.
const tmpSuffix = ".tmp"

// usedSuffix ends the names of results that are over.
const usedSuffix = ".used"

// files keeps what a member must find again after a kill.
type files struct{ dir string }

// make makes the folder, and removes what a kill within a write has left.
func (f files) make() error {
	if err := os.MkdirAll(filepath.Join(f.dir, resultsDir), 0o700); err != nil {
		return err
	}
	var errs error
	for _, dir := range []string{f.dir, filepath.Join(f.dir, resultsDir)} {
		left, err := filepath.Glob(filepath.Join(dir, "*"+tmpSuffix))
		errs = errors.Join(errs, err)
		for _, path := range left {
			errs = errors.Join(errs, os.Remove(path))
		}
	}
	return errs
}

// results are the files of the results of a round.
func (f files) results() files { return files{filepath.Join(f.dir, resultsDir)} }

// writeResult keeps a result, durably once the folder is synced. It writes over the file of one that is
// of no use any more, if there is one.
func (f files) writeResult(hash train.Hash, data []byte) error {
	r := f.results()
	tmp := filepath.Join(r.dir, hash.String()+tmpSuffix)
	used, err := filepath.Glob(filepath.Join(r.dir, "*"+usedSuffix))
	if err != nil {
		return err
	}
	for _, path := range used {
		if os.Rename(path, tmp) == nil { // else another one is written over it
			break
		}
	}
	done, err := writeDirect(tmp, data)
	if !done && err == nil {
		err = overwrite(tmp, true, data)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, filepath.Join(r.dir, hash.String()))
}

// overwrite makes parts the content of a file, old or new: in its place, as that has room already.
func overwrite(path string, sync bool, parts ...[]byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	size := int64(0)
	for _, b := range parts {
		if err == nil {
			_, err = file.Write(b)
			size += int64(len(b))
		}
	}
	if err == nil {
		err = file.Truncate(size)
	}
	if err == nil && sync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// readResult returns a result, nil if it is not here.
func (f files) readResult(hash train.Hash) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(f.dir, resultsDir, hash.String()))
	if errors.Is(err, fs.ErrNotExist) || err == nil && digest.Root(b) != hash {
		return nil, nil
	}
	return b, err
}

// dropResults takes away the results that are not needed. Their files are there for new ones: those
// that came to be so now, and as many of before as are spared.
func (f files) dropResults(needed map[train.Hash]bool, spared int) error {
	list, err := os.ReadDir(f.results().dir)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for h := range needed {
		keep[h.String()] = true
	}
	var errs error
	for _, e := range list {
		path := filepath.Join(f.results().dir, e.Name())
		switch ext := filepath.Ext(path); {
		case ext == usedSuffix:
			if spared--; spared < 0 {
				errs = errors.Join(errs, os.Remove(path))
			}
		case ext != tmpSuffix && !keep[e.Name()]:
			errs = errors.Join(errs, os.Rename(path, path+usedSuffix))
		}
	}
	return errs
}

// writeAtomic replaces a file by what write writes, at once or not at all, durably.
func (f files) writeAtomic(name string, write func(w io.Writer) error) (err error) {
	path := filepath.Join(f.dir, name)
	tmp, err := os.CreateTemp(f.dir, name+".*"+tmpSuffix)
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

// writeState writes vectors to a file. Only one goroutine writes states of a folder. It writes
// over the file of a state that is of no use any more, if there is one: the disk and the system's
// cache have a place for that already.
func (f files) writeState(name string, vectors [][]float32) (err error) {
	tmp := filepath.Join(f.dir, name+".tmp")
	f.reuse(tmp)
	file, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp))
		}
	}()
	head := append([]byte(stateMagic), byte(len(vectors)))
	for _, v := range vectors {
		head = binary.LittleEndian.AppendUint64(head, uint64(len(v)))
	}
	size := int64(len(head))
	_, err = file.Write(head)
	var buf []byte
	for _, v := range vectors {
		for ; len(v) > 0 && err == nil; v = v[min(atOnce, len(v)):] {
			buf = vec.Bytes(buf, v[:min(atOnce, len(v))])
			_, err = file.Write(buf)
			size += int64(len(buf))
		}
	}
	if err == nil {
		err = file.Truncate(size)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if name == stateFile {
		f.spare()
	}
	if err := os.Rename(tmp, filepath.Join(f.dir, name)); err != nil {
		return err
	}
	return f.syncDir()
}

// atOnce is how many numbers are written at a time.
const atOnce = 1 << 20

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
			vec.FromF32(left[:k], buf[:4*k])
			left = left[k:]
		}
	}
	return out, nil
}

// reuse makes the spare file, if there is one, the file that is written next: its room on the disk
// is there. One that is still the state, after a kill within promote, is not touched.
func (f files) reuse(tmp string) {
	spare := filepath.Join(f.dir, spareFile)
	old, err := os.Stat(spare)
	if err != nil {
		return
	}
	if now, err := os.Stat(filepath.Join(f.dir, stateFile)); err != nil || os.SameFile(old, now) {
		_ = os.Remove(spare)
		return
	}
	_ = os.Rename(spare, tmp)
}

// spare makes the file of the state the next one to be written over, once another state takes its
// place: under another name, where the file system has more than one for a file.
func (f files) spare() {
	spare := filepath.Join(f.dir, spareFile)
	_ = os.Remove(spare)
	_ = os.Link(filepath.Join(f.dir, stateFile), spare)
}

// promote makes the candidate the state.
func (f files) promote() error {
	f.spare()
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

// writeUpdate keeps the slices of the own update of a round, over those of the round before, which
// is over. If a kill comes in between they have other hashes than the header says. They outlive the
// process, and need not outlive the machine: then the round goes on as if they had been lost on
// their way.
func (f files) writeUpdate(round uint64, parts [][]byte) error {
	head := binary.LittleEndian.AppendUint64(nil, round)
	for _, p := range parts {
		head = binary.LittleEndian.AppendUint64(head, uint64(len(p)))
	}
	return overwrite(filepath.Join(f.dir, updateFile), false, append([][]byte{head}, parts...)...)
}

// readUpdate returns the slices that a header commits to; nil if they are not here.
func (f files) readUpdate(h *train.Header) ([][]byte, error) {
	b, err := os.ReadFile(filepath.Join(f.dir, updateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n := len(h.Slices)
	if len(b) < 8*(n+1) || binary.LittleEndian.Uint64(b) != h.Round {
		return nil, nil
	}
	parts, rest := make([][]byte, n), b[8*(n+1):]
	for i := range parts {
		size := binary.LittleEndian.Uint64(b[8*(i+1):])
		if size > uint64(len(rest)) || digest.Root(rest[:size]) != h.Slices[i] {
			return nil, nil
		}
		parts[i], rest = rest[:size:size], rest[size:]
	}
	return parts, nil
}

// appendCertificates adds certificates to the chain, durably: all of them with one write to the disk.
func (f files) appendCertificates(list []*train.Sealed) error {
	if len(list) == 0 {
		return nil
	}
	var all []byte
	for _, s := range list {
		b, err := wire.Encode(s)
		if err != nil {
			return err
		}
		all = append(binary.LittleEndian.AppendUint32(all, uint32(len(b))), b...)
	}
	file, err := os.OpenFile(filepath.Join(f.dir, chainFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.Write(all); err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// writeChain replaces the chain.
func (f files) writeChain(list []*train.Sealed) error {
	return f.writeAtomic(chainFile, func(w io.Writer) error {
		for _, s := range list {
			b, err := wire.Encode(s)
			if err != nil {
				return err
			}
			if _, err := w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
				return err
			}
		}
		return nil
	})
}

// readChain returns the certificates of the chain, up to one that was cut off. What follows it
// is removed from the file, so that the next one may be appended.
func (f files) readChain() ([]*train.Sealed, error) {
	path := filepath.Join(f.dir, chainFile)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var whole int64
	r := bufio.NewReader(file)
	var out []*train.Sealed
	for {
		s, n := readCertificate(r)
		if s == nil {
			break
		}
		out, whole = append(out, s), whole+n
	}
	info, err := file.Stat()
	if err = errors.Join(err, file.Close()); err == nil && info.Size() > whole {
		err = os.Truncate(path, whole)
	}
	return out, err
}

// readCertificates returns those of a part of the chain.
func (f files) readCertificates(start, end int64) ([]*train.Sealed, error) {
	file, err := os.Open(filepath.Join(f.dir, chainFile))
	if err != nil {
		return nil, err
	}
	r := io.NewSectionReader(file, start, end-start)
	var out []*train.Sealed
	for {
		s, n := readCertificate(r)
		if s == nil {
			break
		}
		out, start = append(out, s), start+n
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	if start != end {
		return nil, fmt.Errorf("%s: not as it was written", file.Name())
	}
	return out, nil
}

// sizeOf is how many bytes a certificate takes in the chain.
func sizeOf(s *train.Sealed) (int64, error) {
	b, err := wire.Encode(s)
	return int64(4 + len(b)), err
}

// readCertificate reads one certificate and its bytes in the file, nil at the end or where it is
// not whole.
func readCertificate(r io.Reader) (*train.Sealed, int64) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, 0
	}
	n := binary.LittleEndian.Uint32(size[:])
	if n > train.MaxSealed {
		return nil, 0
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, 0
	}
	s := new(train.Sealed)
	if wire.Decode(b, s) != nil {
		return nil, 0
	}
	return s, int64(len(size)) + int64(n)
}
