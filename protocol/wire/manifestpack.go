package wire

import (
	"fmt"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol"
)

// Packed is a manifest as blocks: the root, whose identifier is the model's, and the part
// lists it names, if it is too large for one block.
type Packed struct {
	Root  []byte
	Lists [][]byte
}

// CID returns the model's identity.
func (p *Packed) CID() cid.Cid { return CIDOf(p.Root) }

// Pack validates a manifest that holds its parts and returns its blocks. The same manifest
// always gives the same blocks.
func (m *Manifest) Pack() (*Packed, error) {
	root, err := Encode(m)
	if err != nil {
		return nil, err
	}
	if len(m.Lists) != 0 {
		return nil, fmt.Errorf("pack manifest: %w", invalid("its parts are in lists"))
	}
	if len(root) <= protocol.MaxBlock {
		return &Packed{Root: root}, nil
	}
	out := &Packed{}
	short := *m
	short.Parts = nil
	for parts := m.Parts; len(parts) > 0; {
		list, n, err := packRun(parts)
		if err != nil {
			return nil, err
		}
		out.Lists = append(out.Lists, list)
		short.Lists = append(short.Lists, BlockHead(CIDOf(list))...)
		parts = parts[n:]
	}
	if out.Root, err = Encode(&short); err != nil {
		return nil, err
	}
	if len(out.Root) > protocol.MaxBlock {
		return nil, fmt.Errorf("pack manifest: %w", invalid("%d bytes without its parts", len(out.Root)))
	}
	return out, nil
}

// packRun encodes as many of the first parts as fit in a block, and returns their number.
func packRun(parts []Part) ([]byte, int, error) {
	size, n := 64, 0 // of the head of the list
	for ; n < len(parts); n++ {
		b, err := codec.enc.Marshal(parts[n])
		if err != nil {
			return nil, 0, fmt.Errorf("pack manifest: %w", err)
		}
		if size+len(b) > protocol.MaxBlock {
			break
		}
		size += len(b)
	}
	if n == 0 {
		return nil, 0, fmt.Errorf("pack manifest: %w", invalid("part kind %d number %d is too large", parts[0].Kind, parts[0].Index))
	}
	b, err := Encode(&PartList{Kind: KindParts, Version: ManifestVersion, Parts: parts[:n]})
	return b, n, err
}

// Unpack reads a manifest from its root block. It gets the part lists, if there are any,
// by get, checks that they are what the root names, and moves their parts into Parts. An
// error of get is returned wrapped; every other one wraps ErrInvalid.
func Unpack(root []byte, get func(cid.Cid) ([]byte, error)) (*Manifest, error) {
	if len(root) > protocol.MaxBlock {
		return nil, fmt.Errorf("unpack manifest: %w", invalid("%d bytes", len(root)))
	}
	m := new(Manifest)
	if err := Decode(root, m); err != nil {
		return nil, err
	}
	if len(m.Lists) == 0 {
		return m, nil
	}
	for _, c := range m.Lists.CIDs() {
		data, err := get(c)
		if err != nil {
			return nil, fmt.Errorf("unpack manifest: read part list %s: %w", c, err)
		}
		list, err := unpackList(c, data)
		if err != nil {
			return nil, err
		}
		m.Parts = append(m.Parts, list.Parts...)
		if len(m.Parts) > protocol.MaxBlocksOfModel+2 {
			return nil, fmt.Errorf("unpack manifest: %w", invalid("%d parts and more", len(m.Parts)))
		}
	}
	m.Lists = nil
	if err := m.validParts(); err != nil {
		return nil, fmt.Errorf("unpack manifest: %w", err)
	}
	return m, nil
}

func unpackList(c cid.Cid, data []byte) (*PartList, error) {
	if len(data) > protocol.MaxBlock || CIDOf(data) != c {
		return nil, fmt.Errorf("unpack manifest: %w", invalid("part list %s has other bytes", c))
	}
	list := new(PartList)
	if err := Decode(data, list); err != nil {
		return nil, fmt.Errorf("unpack manifest: part list %s: %w", c, err)
	}
	return list, nil
}

// Links returns what a block of structure, the root of a manifest or a part list, refers
// to: nodes are blocks of structure themselves, leaves are plain bytes. The parent of a
// manifest is not among them: a model does not need it.
func Links(data []byte) (nodes, leaves []cid.Cid, err error) {
	if len(data) > protocol.MaxBlock {
		return nil, nil, fmt.Errorf("read links: %w", invalid("%d bytes", len(data)))
	}
	m := new(Manifest)
	if err = Decode(data, m); err == nil {
		return m.Lists.CIDs(), append(m.Tokenizer.Blocks.CIDs(), leavesOf(m.Parts)...), nil
	}
	list := new(PartList)
	if Decode(data, list) == nil {
		return nil, leavesOf(list.Parts), nil
	}
	return nil, nil, err
}

func leavesOf(parts []Part) []cid.Cid {
	var out []cid.Cid
	for i := range parts {
		for j := range parts[i].Tensors {
			out = append(out, parts[i].Tensors[j].Blocks.CIDs()...)
		}
	}
	return out
}

// Blocks returns the number of transformer blocks.
func (m *Manifest) Blocks() int {
	n := 0
	for i := range m.Parts {
		if m.Parts[i].Kind == PartBlock {
			n++
		}
	}
	return n
}

// Whole returns the range of all parts.
func (m *Manifest) Whole() Range {
	return Range{Last: uint32(m.Blocks()), Embed: true, Head: true}
}

// PartsOf returns the parts in a range, in order. A part that the model does not have is
// left out.
func (m *Manifest) PartsOf(r Range) []*Part {
	var out []*Part
	for i := range m.Parts {
		p := &m.Parts[i]
		switch {
		case p.Kind == PartEmbedding && r.Embed,
			p.Kind == PartBlock && r.First <= p.Index && p.Index < r.Last,
			p.Kind == PartHead && r.Head:
			out = append(out, p)
		}
	}
	return out
}

// Part returns one part, nil if the model does not have it.
func (m *Manifest) Part(kind PartKind, index uint32) *Part {
	for i := range m.Parts {
		if p := &m.Parts[i]; p.Kind == kind && p.Index == index {
			return p
		}
	}
	return nil
}

// Tensor returns a tensor of the part by name, nil if there is none. A nil part has none.
func (p *Part) Tensor(name string) *Tensor {
	if p == nil {
		return nil
	}
	for i := range p.Tensors {
		if p.Tensors[i].Name == name {
			return &p.Tensors[i]
		}
	}
	return nil
}
