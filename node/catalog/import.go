package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"

	cid "github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// roundBytes is how much is read before it is hashed and stored, more if a tensor is
	// larger.
	roundBytes = 64 << 20
	// pairedBytes is the largest tensor with which a round is read while the one before
	// it is stored, in memory of its own.
	pairedBytes = 512 << 20
	// putBlocks is how many blocks are stored between two calls of Progress.
	putBlocks = 16
)

// Progress is told how many bytes of an import are stored. It is called from one goroutine
// at a time, and holds the import up while it runs.
type Progress func(done, total int64)

// ImportFiles imports a Hugging Face directory or a GGUF file. quantize is "", q8_0 or
// q4_0: what float matrices are converted to.
func (c *Catalog) ImportFiles(ctx context.Context, path, name, quantize string, p Progress) (*Model, error) {
	var opt model.ImportOptions
	if quantize != "" {
		d, err := tensor.Parse(strings.ToUpper(quantize))
		if err != nil {
			return nil, fmt.Errorf("import %q: %w", path, err)
		}
		opt.Quantize = &d
	}
	ck, err := model.Import(path, opt)
	if err != nil {
		return nil, err
	}
	defer ck.Close()
	return c.Import(ctx, ck, name, p)
}

// Import takes a checkpoint into the store, pins the model and lets name stand for it. It is
// ErrNameTaken if the name stands for another model. An empty name means the checkpoint's. The
// name goes into the manifest: the same files under the same name are the same model, and
// what of it is here already is not written again. p may be nil. After an error nothing
// of it is left.
func (c *Catalog) Import(ctx context.Context, ck *model.Checkpoint, name string, p Progress) (*Model, error) {
	if name == "" {
		name = cleanName(ck.Name)
	}
	name = CutLatest(name)
	m, err := c.importAs(ctx, ck, name, p)
	if err != nil {
		return nil, fmt.Errorf("import model %q: %w", name, err)
	}
	return m, nil
}

func (c *Catalog) importAs(ctx context.Context, ck *model.Checkpoint, name string, p Progress) (*Model, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	m, err := newManifest(ck, name)
	if err != nil {
		return nil, err
	}
	var found Findings
	if !ck.Config.TakesNumbers() {
		text, err := newText(ck.Tokenizer, ck.ChatTemplate, ck.Config.Vocab(), ck.EOSIDs)
		if err != nil {
			return nil, fmt.Errorf("open tokenizer: %w", err)
		}
		found.Template = text.TemplateErr
	}
	if other, taken := c.named(name); taken { // tell before much is read, if they cannot be the same
		if o, err := c.open(other); err == nil && !alike(o.manifest, m) {
			return nil, c.taken(name, other)
		}
	}
	id, notFinite, err := c.importBlocks(ctx, ck, m, p)
	if err != nil {
		return nil, err
	}
	found.NotFinite = notFinite
	for _, w := range found.Warnings() {
		c.log.Warn("import found a fault in the model", "model", name, "fault", w)
	}
	imported, err := c.local(id)
	if err != nil {
		return nil, err
	}
	imported.Findings = found
	return imported, nil
}

// importBlocks stores and pins a model, or leaves nothing of it. It returns the tensors with
// values that are not finite, too.
func (c *Catalog) importBlocks(ctx context.Context, ck *model.Checkpoint, m *wire.Manifest, p Progress) (id cid.Cid, bad []NotFinite, err error) {
	draft, err := c.store.Draft()
	if err != nil {
		return cid.Undef, nil, err
	}
	im := &importer{c: c, draft: draft, progress: p}
	if err = im.all(ctx, ck, m); err == nil {
		id, err = im.finish(ctx, m)
	}
	if err == nil {
		err = c.nameImported(m.Name, id)
	}
	if im.claim != nil {
		im.claim.Release()
	}
	if err != nil {
		discardErr := draft.Discard(context.WithoutCancel(ctx))
		return cid.Undef, nil, errors.Join(im.refused(err), discardErr)
	}
	if err := draft.Keep(); err != nil { // what it lists is pinned: the next start finds that it stays
		c.log.Warn("list of an import's blocks is not removed", "model", m.Name, "err", err)
	}
	return id, im.notFinite, nil
}

// nameImported lets a name stand for a model and pins it.
func (c *Catalog) nameImported(name string, id cid.Cid) error {
	c.naming.Lock()
	defer c.naming.Unlock()
	if other, taken := c.named(name); taken && other != id {
		return c.taken(name, other)
	}
	pinned := c.store.Pinned(id)
	err := c.store.Pin(id)
	if err == nil {
		err = c.store.SetName(name, id)
	}
	if err != nil && !pinned {
		err = errors.Join(err, c.store.Unpin(id))
	}
	return err
}

// newManifest returns the manifest of a checkpoint without digests.
func newManifest(ck *model.Checkpoint, name string) (*wire.Manifest, error) {
	if err := ck.Config.Validate(); err != nil {
		return nil, err
	}
	config, err := json.Marshal(ck.Config)
	if err != nil {
		return nil, err
	}
	m := &wire.Manifest{
		Kind: wire.KindManifest, Version: wire.ManifestVersion, Name: name, Task: ck.Config.Task(), Arch: ck.Config.Arch, Config: config,
		Tokenizer:    wire.Blob{Kind: ck.Tokenizer.Kind, Bytes: int64(len(ck.Tokenizer.Data))},
		ChatTemplate: ck.ChatTemplate, BOS: ck.BOS, EOS: ck.EOS, EOSIDs: ck.EOSIDs, License: wire.Line(cut(ck.License, protocol.MaxTextMessage)),
	}
	index := map[model.Part]int{}
	for i, part := range ck.Config.Parts() {
		kind, n := wirePart(part)
		index[part] = i
		m.Parts = append(m.Parts, wire.Part{Kind: kind, Index: n})
	}
	sizes := map[string]int64{}
	for _, t := range ck.Tensors {
		i, ok := index[t.Part]
		if !ok {
			return nil, fmt.Errorf("tensor %q is of %v, which the configuration does not have", t.Name, t.Part)
		}
		shape := make([]uint64, len(t.Shape))
		for k, d := range t.Shape {
			shape[k] = uint64(d)
		}
		m.Parts[i].Tensors = append(m.Parts[i].Tensors, wire.Tensor{Name: t.Name, DType: t.DType.String(), Shape: shape, Bytes: t.Bytes})
		m.Bytes += t.Bytes
		sizes[t.DType.String()] += t.Bytes
	}
	for dtype, n := range sizes { // the type that most bytes have
		if most := sizes[m.Quantization]; n > most || n == most && dtype < m.Quantization {
			m.Quantization = dtype
		}
	}
	_, err = check(m)
	return m, err
}

// importer stores the blocks of one checkpoint.
type importer struct {
	c           *Catalog
	draft       *store.Draft
	progress    Progress
	done, total int64
	claim       *store.Claim // nil before there is one
	needs       int64        // what of total was not here
	notFinite   []NotFinite
}

// job is a run of bytes to be stored, and where its digests go.
type job struct {
	size int64
	read func(dst []byte) error
	to   *wire.Digests
	data []byte // once it was read

	tensor    *model.TensorSource // nil for a tokenizer
	notFinite int64               // values of the tensor, once it was read
}

// load reads the job's bytes, and looks at them while they are at hand.
func (j *job) load() error {
	err := j.read(j.data)
	if err == nil && j.tensor != nil {
		j.notFinite = tensor.NotFinite(j.tensor.DType, j.data)
	}
	return err
}

// all stores tokenizer and tensors, and fills in their digests.
func (im *importer) all(ctx context.Context, ck *model.Checkpoint, m *wire.Manifest) error {
	jobs, copies := plan(ck, m)
	largest := int64(0)
	for _, j := range jobs {
		im.total += j.size
		largest = max(largest, j.size)
	}
	if err := im.claimRoom(ctx, jobs, m); err != nil {
		return err
	}
	rounds := 2
	if largest > pairedBytes {
		rounds = 1
	}
	free := make(chan []byte, rounds) // memory of rounds
	for range rounds {
		free <- nil
	}
	ready := make(chan []*job) // the next round is read while one is stored
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(ready)
		return readRounds(ctx, jobs, min(roundBytes, im.total), free, ready)
	})
	g.Go(func() error {
		for {
			select {
			case round, more := <-ready:
				if !more {
					return nil
				}
				if err := im.store(ctx, round); err != nil {
					return err
				}
				free <- round[0].data[:0]
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for to, from := range copies {
		*to = *from
	}
	for _, j := range jobs {
		if j.notFinite > 0 {
			im.notFinite = append(im.notFinite, NotFinite{Tensor: j.tensor.File, Values: j.notFinite})
		}
	}
	return nil
}

// plan lists what is to be stored. A tied output matrix is the embedding: it gets a copy
// of its digests.
func plan(ck *model.Checkpoint, m *wire.Manifest) (jobs []*job, copies map[*wire.Digests]*wire.Digests) {
	copies = map[*wire.Digests]*wire.Digests{}
	if data := ck.Tokenizer.Data; len(data) > 0 {
		jobs = append(jobs, &job{size: int64(len(data)), to: &m.Tokenizer.Blocks, read: func(dst []byte) error {
			copy(dst, data)
			return nil
		}})
	}
	embedding := m.Part(wire.PartEmbedding, 0).Tensor("tokens.weight")
	for _, s := range ck.Tensors {
		t := m.Part(wirePart(s.Part)).Tensor(s.Name)
		tied := ck.Config.Llama != nil && ck.Config.Llama.Tied && s.Part.Kind == model.Head && s.Name == "output.weight"
		if tied && embedding != nil && t.Bytes == embedding.Bytes && t.DType == embedding.DType {
			copies[&t.Blocks] = &embedding.Blocks
			continue
		}
		jobs = append(jobs, &job{size: s.Bytes, read: s.Read, to: &t.Blocks, tensor: &s})
	}
	return jobs, copies
}

// readRounds reads jobs, as many at once as fit into the memory of a round. The first job
// of a round has the memory of all.
func readRounds(ctx context.Context, jobs []*job, memory int64, free <-chan []byte, ready chan<- []*job) error {
	for len(jobs) > 0 {
		n, size := 1, jobs[0].size
		for n < len(jobs) && size+jobs[n].size <= memory {
			size += jobs[n].size
			n++
		}
		var buf []byte
		select {
		case buf = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if int64(cap(buf)) < size {
			buf = make([]byte, size, max(size, memory))
		}
		round := jobs[:n]
		jobs = jobs[n:]
		var g errgroup.Group
		g.SetLimit(runtime.GOMAXPROCS(0))
		at := int64(0)
		for i, j := range round {
			j.data = buf[at : at+j.size]
			if i > 0 {
				j.data = j.data[:j.size:j.size]
			}
			at += j.size
			g.Go(func() error {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return j.load()
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		select {
		case ready <- round:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// store hashes the blocks of a round on all cores, and stores them as they come.
func (im *importer) store(ctx context.Context, round []*job) error {
	var chunks [][]byte
	for _, j := range round {
		for rest := j.data; len(rest) > 0; {
			n := min(len(rest), protocol.MaxBlock)
			chunks = append(chunks, rest[:n])
			rest = rest[n:]
		}
	}
	blocks := make([]store.Block, len(chunks))
	g, ctx := errgroup.WithContext(ctx)
	next := make(chan int) // batches that are hashed, in order
	g.Go(func() error { return hashBatches(ctx, chunks, blocks, next) })
	g.Go(func() error {
		for lo := range next {
			if err := im.put(ctx, blocks[lo:min(lo+putBlocks, len(blocks))]); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, j := range round {
		n := wire.BlocksOf(j.size)
		ids := make([]cid.Cid, n)
		for i, b := range blocks[:n] {
			ids[i] = b.CID()
		}
		*j.to = wire.DigestsOf(ids...)
		blocks = blocks[n:]
	}
	return nil
}

// hashBatches hashes chunks, and sends the beginning of each batch that is ready.
func hashBatches(ctx context.Context, chunks [][]byte, blocks []store.Block, next chan<- int) error {
	defer close(next)
	for lo := 0; lo < len(chunks); lo += putBlocks {
		var g errgroup.Group
		g.SetLimit(runtime.GOMAXPROCS(0))
		for i := lo; i < min(lo+putBlocks, len(chunks)); i++ {
			g.Go(func() (err error) {
				blocks[i], err = store.NewBlock(chunks[i])
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		select {
		case next <- lo:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (im *importer) put(ctx context.Context, blocks []store.Block) error {
	size := int64(0)
	ids := make([]cid.Cid, len(blocks))
	for i, b := range blocks {
		ids[i] = b.CID()
		size += int64(len(b.Data()))
	}
	if err := im.draft.Add(ids...); err != nil {
		return err
	}
	if _, err := im.c.store.PutMany(ctx, blocks); err != nil {
		return err
	}
	im.done += size
	im.claim.Left(im.needs - im.done)
	if im.progress != nil {
		im.progress(im.done, im.total)
	}
	return nil
}

// finish stores the manifest.
func (im *importer) finish(ctx context.Context, m *wire.Manifest) (cid.Cid, error) {
	packed, err := m.Pack()
	if err != nil {
		return cid.Undef, err
	}
	var blocks []store.Block
	for _, data := range append(packed.Lists, packed.Root) {
		b, err := store.NewBlock(data)
		if err != nil {
			return cid.Undef, err
		}
		if err := im.draft.Add(b.CID()); err != nil {
			return cid.Undef, err
		}
		blocks = append(blocks, b)
	}
	if _, err := im.c.store.PutFew(ctx, blocks); err != nil {
		return cid.Undef, err
	}
	return packed.CID(), nil
}
