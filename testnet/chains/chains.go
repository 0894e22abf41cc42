// Package chains reads the certificates that members of a training keep on disk, and looks whether
// those of several members fit together: no round twice, none left out, and one outcome for each.
//
// Read reads one member's file; Compare compares members. Importers are testnet/harm and testnet/lab.
package chains

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// Read returns the certificates that a run in a folder has, oldest first.
func Read(folder string) (out []*train.Certificate, err error) {
	data, err := os.ReadFile(filepath.Join(folder, "swarm", "chain"))
	if err != nil {
		return nil, err
	}
	for len(data) > 0 {
		if len(data) < 4 || uint64(len(data)) < 4+uint64(binary.LittleEndian.Uint32(data)) {
			return nil, errors.New("it is cut off")
		}
		n := 4 + int(binary.LittleEndian.Uint32(data))
		sealed := new(train.Sealed)
		if err := wire.Decode(data[4:n], sealed); err != nil {
			return nil, err
		}
		body, err := sealed.Open()
		if err != nil {
			return nil, err
		}
		c, ok := body.(*train.Certificate)
		if !ok {
			return nil, errors.New("it has something else in it")
		}
		out, data = append(out, c), data[n:]
	}
	return out, nil
}

// Compared is what is wrong with the chains of some members.
type Compared struct {
	Gaps  int // rounds that do not follow the one before: twice, or with one left out
	Forks int // rounds with another outcome than at an earlier member
	Notes []string
}

// Compare compares the chains of members by name.
func Compare(of map[string][]*train.Certificate) (c Compared) {
	note := func(format string, args ...any) { c.Notes = append(c.Notes, fmt.Sprintf(format, args...)) }
	names := make([]string, 0, len(of))
	for n := range of {
		names = append(names, n)
	}
	slices.Sort(names)
	outcomes := map[uint64]train.Hash{}
	for _, n := range names {
		for i, cert := range of[n] {
			o := &cert.Outcome
			if i > 0 && o.Round != of[n][i-1].Outcome.Round+1 {
				note("in the chain of %s round %d follows round %d", n, o.Round, of[n][i-1].Outcome.Round)
				c.Gaps++
			}
			id, err := o.ID()
			if known, ok := outcomes[o.Round]; ok && known != id || err != nil {
				note("round %d of %s has another outcome, %v", o.Round, n, err)
				c.Forks++
			}
			outcomes[o.Round] = id
		}
	}
	return c
}
