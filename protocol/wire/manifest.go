package wire

import (
	"errors"
	"math"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol"
)

// The kinds of blocks that hold structure, not weights. They are the first field, so that
// neither can be taken for the other.
const (
	KindManifest = "covey/manifest"
	KindParts    = "covey/parts"
)

// ManifestVersion is the layout of manifests written now, and the only one read.
const ManifestVersion = 1

// PartKind says which piece of a model a Part is. The numbers are those of engine/nn.
type PartKind uint8

// The kinds of parts, in the order in which they are listed.
const (
	PartEmbedding PartKind = 1
	PartBlock     PartKind = 2
	PartHead      PartKind = 3
)

// Manifest describes a model: what it is and the blocks it is made of. The identifier of
// its canonical bytes is the model's identity. Either Parts holds the parts, or, if that
// would be more than a block, Lists names blocks that each hold a PartList; Unpack puts
// the two forms into the first.
type Manifest struct {
	Kind         string  `cbor:"1,keyasint" json:"-"` // KindManifest
	Version      uint64  `cbor:"2,keyasint" json:"version"`
	Name         string  `cbor:"3,keyasint" json:"name"` // the publisher's, proves nothing
	Task         string  `cbor:"4,keyasint" json:"task"`
	Arch         string  `cbor:"5,keyasint" json:"arch"`
	Config       []byte  `cbor:"6,keyasint" json:"-"` // JSON of engine/model.Config
	Tokenizer    Blob    `cbor:"7,keyasint" json:"-"`
	ChatTemplate string  `cbor:"8,keyasint,omitempty" json:"-"`
	BOS          string  `cbor:"9,keyasint,omitempty" json:"bos,omitempty"`
	EOS          string  `cbor:"10,keyasint,omitempty" json:"eos,omitempty"`
	EOSIDs       []int32 `cbor:"11,keyasint,omitempty" json:"eos_ids,omitempty"`
	License      string  `cbor:"12,keyasint,omitempty" json:"license,omitempty"`
	Parent       Digests `cbor:"13,keyasint,omitempty" json:"-"` // the manifest it was made from; none or one
	Quantization string  `cbor:"14,keyasint,omitempty" json:"quantization,omitempty"`
	Created      int64   `cbor:"15,keyasint" json:"created"` // Unix seconds; 0 is not told
	Bytes        int64   `cbor:"16,keyasint" json:"bytes"`   // of all tensors as listed
	Parts        []Part  `cbor:"17,keyasint,omitempty" json:"-"`
	Lists        Digests `cbor:"18,keyasint,omitempty" json:"-"`
}

// PartList is a run of the parts of a large model, in a block of its own.
type PartList struct {
	Kind    string `cbor:"1,keyasint"` // KindParts
	Version uint64 `cbor:"2,keyasint"`
	Parts   []Part `cbor:"3,keyasint"`
}

// Part is the piece of a model that is fetched and loaded as a unit.
type Part struct {
	Kind    PartKind `cbor:"1,keyasint"`
	Index   uint32   `cbor:"2,keyasint,omitempty"` // counts blocks from 0; 0 for the other kinds
	Tensors []Tensor `cbor:"3,keyasint,omitempty"` // names are unique within the part
}

// Tensor is one tensor and the blocks that its bytes are cut into.
type Tensor struct {
	Name   string   `cbor:"1,keyasint"` // canonical, of engine/model
	DType  string   `cbor:"2,keyasint"`
	Shape  []uint64 `cbor:"3,keyasint"` // outermost first
	Bytes  int64    `cbor:"4,keyasint"`
	Blocks Digests  `cbor:"5,keyasint"`
}

// Validate checks form and limits, and that all sizes agree.
func (m *Manifest) Validate() error {
	if m.Kind != KindManifest || m.Version != ManifestVersion {
		return invalid("kind %.40q version %d, want %s version %d", m.Kind, m.Version, KindManifest, ManifestVersion)
	}
	for _, t := range []struct {
		what, s     string
		least, most int
	}{
		{"name", m.Name, 1, protocol.MaxTextName},
		{"task", m.Task, 1, protocol.MaxTextVersion},
		{"architecture", m.Arch, 1, protocol.MaxTextVersion},
		{"licence", m.License, 0, protocol.MaxTextMessage},
		{"quantisation", m.Quantization, 0, protocol.MaxTextVersion},
	} {
		if len(t.s) < t.least {
			return invalid("no %s", t.what)
		}
		if err := validLine(t.what, t.s, t.most); err != nil {
			return err
		}
	}
	err := errors.Join(
		validText("chat template", m.ChatTemplate, protocol.MaxChatTemplate), validText("BOS", m.BOS, protocol.MaxTextName), validText("EOS", m.EOS, protocol.MaxTextName))
	if err != nil {
		return err
	}
	if len(m.Config) == 0 || len(m.Config) > protocol.MaxModelConfig {
		return invalid("configuration of %d bytes, 1 to %d", len(m.Config), protocol.MaxModelConfig)
	}
	if len(m.EOSIDs) > protocol.MaxEOSIDs || m.Created < 0 || m.Bytes <= 0 || m.Bytes > protocol.MaxModelBytes {
		return invalid("%d end tokens, created %d, %d bytes", len(m.EOSIDs), m.Created, m.Bytes)
	}
	if len(m.Parent) != 0 && len(m.Parent) != BlockHeadSize {
		return invalid("parent of %d bytes", len(m.Parent))
	}
	if err := m.validTokenizer(); err != nil {
		return err
	}
	return m.validParts()
}

func (m *Manifest) validTokenizer() error {
	t := &m.Tokenizer
	if len(t.Kind) > protocol.MaxWord || t.Bytes > protocol.MaxTokenizer || (t.Kind == "") != (t.Bytes == 0) {
		return invalid("tokenizer %.40q of %d bytes", t.Kind, t.Bytes)
	}
	return t.Blocks.validFor("tokenizer", t.Bytes)
}

// validParts checks the order of the parts, and the sum of their bytes.
func (m *Manifest) validParts() error {
	if len(m.Lists) != 0 {
		if n := len(m.Lists); n%BlockHeadSize != 0 || n > protocol.MaxManifestLists*BlockHeadSize || len(m.Parts) != 0 {
			return invalid("%d bytes of part lists beside %d parts", n, len(m.Parts))
		}
		return nil
	}
	if err := validPartOrder(m.Parts, false); err != nil {
		return err
	}
	var sum int64
	for i := range m.Parts {
		n, err := m.Parts[i].validate()
		if err != nil {
			return err
		}
		if sum += n; sum > protocol.MaxModelBytes {
			return invalid("parts of %d bytes and more", sum)
		}
	}
	if sum != m.Bytes {
		return invalid("parts have %d bytes, the manifest says %d", sum, m.Bytes)
	}
	return nil
}

// validPartOrder checks that parts are embedding, blocks by number without a gap, head. A
// run of them, as in a list, may begin anywhere.
func validPartOrder(parts []Part, run bool) error {
	if len(parts) == 0 || len(parts) > protocol.MaxBlocksOfModel+2 {
		return invalid("%d parts", len(parts))
	}
	for i := range parts {
		p := &parts[i]
		if p.Kind != PartBlock && p.Index != 0 || p.Kind < PartEmbedding || p.Kind > PartHead || p.Index >= protocol.MaxBlocksOfModel {
			return invalid("part kind %d number %d", p.Kind, p.Index)
		}
		if i == 0 {
			if !run && p.Kind == PartBlock && p.Index != 0 {
				return invalid("blocks begin at %d", p.Index)
			}
			continue
		}
		last := &parts[i-1]
		inOrder := last.Kind < p.Kind && (p.Kind != PartBlock || p.Index == 0)
		if last.Kind == PartBlock && p.Kind == PartBlock {
			inOrder = p.Index == last.Index+1
		}
		if !inOrder {
			return invalid("part kind %d number %d follows kind %d number %d", p.Kind, p.Index, last.Kind, last.Index)
		}
	}
	return nil
}

// validate checks the tensors of a part and returns the sum of their bytes.
func (p *Part) validate() (int64, error) {
	if len(p.Tensors) > protocol.MaxPartTensors {
		return 0, invalid("part of %d tensors, at most %d", len(p.Tensors), protocol.MaxPartTensors)
	}
	var sum int64
	names := make(map[string]struct{}, len(p.Tensors))
	for i := range p.Tensors {
		t := &p.Tensors[i]
		if err := t.validate(); err != nil {
			return 0, err
		}
		if _, twice := names[t.Name]; twice {
			return 0, invalid("tensor %.80q twice in a part", t.Name)
		}
		names[t.Name] = struct{}{}
		if sum += t.Bytes; sum > protocol.MaxModelBytes {
			return 0, invalid("part of %d bytes and more", sum)
		}
	}
	return sum, nil
}

func (t *Tensor) validate() error {
	if t.Name == "" {
		return invalid("tensor without a name")
	}
	if err := validLine("tensor name", t.Name, protocol.MaxTextName); err != nil {
		return err
	}
	if len(t.Shape) > protocol.MaxTensorRank {
		return invalid("tensor %.80q of rank %d", t.Name, len(t.Shape))
	}
	for _, d := range t.Shape {
		if d > math.MaxInt32 {
			return invalid("tensor %.80q of shape %v", t.Name, t.Shape)
		}
	}
	n, err := TensorBytes(t.DType, t.Shape)
	if err != nil {
		return err
	}
	if n != t.Bytes {
		return invalid("tensor %.80q of %s %v has %d bytes, the manifest says %d", t.Name, t.DType, t.Shape, n, t.Bytes)
	}
	return t.Blocks.validFor("tensor", t.Bytes)
}

// Validate checks form and limits. The order across lists is checked by Unpack.
func (l *PartList) Validate() error {
	if l.Kind != KindParts || l.Version != ManifestVersion {
		return invalid("kind %.40q version %d, want %s version %d", l.Kind, l.Version, KindParts, ManifestVersion)
	}
	if err := validPartOrder(l.Parts, true); err != nil {
		return err
	}
	for i := range l.Parts {
		if _, err := l.Parts[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

// ParentCID returns the manifest that this one was made from, if it names one.
func (m *Manifest) ParentCID() (cid.Cid, bool) {
	if m.Parent.Len() == 0 {
		return cid.Undef, false
	}
	return m.Parent.At(0), true
}
