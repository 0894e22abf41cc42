package nn

import (
	"context"
	"fmt"

	"github.com/covey-network/covey/engine/tensor"
)

// PartKind says which piece of a model a [Part] is.
type PartKind uint8

// The kinds of parts, in the order in which a token passes them. The numbers are stable.
const (
	Embedding PartKind = 1 // token ids to hidden states
	Block     PartKind = 2 // one transformer block
	Head      PartKind = 3 // final norm and output, or pooling and classifier
)

// String returns the kind's name in manifests.
func (k PartKind) String() string {
	switch k {
	case Embedding:
		return "embedding"
	case Block:
		return "block"
	case Head:
		return "head"
	}
	return fmt.Sprintf("PartKind(%d)", uint8(k))
}

// Part names the piece of a model that is fetched and loaded as a unit. Index counts
// blocks from 0 and is 0 for the other kinds. Parts are comparable.
type Part struct {
	Kind  PartKind
	Index int
}

// String returns "embedding", "block 3" or "head".
func (p Part) String() string {
	if p.Kind == Block {
		return fmt.Sprintf("block %d", p.Index)
	}
	return p.Kind.String()
}

// Range is the contiguous piece of a model that a stage runs: the blocks [First, Last),
// with the embedding before them and the head after them if asked for.
type Range struct {
	First, Last int
	Embed, Head bool
}

// Check reports whether the range lies inside a model of the given number of blocks:
// an embedding goes with block 0 or no block, a head with the last block or no block.
func (r Range) Check(blocks int) error {
	switch {
	case r.First < 0 || r.Last < r.First || r.Last > blocks:
		return fmt.Errorf("check range [%d, %d): the model has blocks [0, %d)", r.First, r.Last, blocks)
	case r.First == r.Last && !r.Embed && !r.Head:
		return fmt.Errorf("check range [%d, %d): nothing in it", r.First, r.Last)
	case r.Embed && r.First != 0:
		return fmt.Errorf("check range [%d, %d): an embedding must be followed by block 0", r.First, r.Last)
	case r.Head && r.Last != blocks:
		return fmt.Errorf("check range [%d, %d): a head must follow block %d", r.First, r.Last, blocks-1)
	}
	return nil
}

// Parts lists the parts in the range, in order.
func (r Range) Parts() []Part {
	var out []Part
	if r.Embed {
		out = append(out, Part{Kind: Embedding})
	}
	for i := r.First; i < r.Last; i++ {
		out = append(out, Part{Kind: Block, Index: i})
	}
	if r.Head {
		out = append(out, Part{Kind: Head})
	}
	return out
}

// Weights gives the tensors of a model by part and canonical name. The returned data
// belongs to the caller, who may keep it but not change it. Several goroutines call at once.
type Weights interface {
	Tensor(ctx context.Context, part Part, name string) (tensor.Tensor, error)
}

// Spec names a tensor of a part and the shape it must have.
type Spec struct {
	Name  string
	Shape tensor.Shape
}
