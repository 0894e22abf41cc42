package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/gateway"
	"github.com/covey-network/covey/node/hosting"
	"github.com/covey-network/covey/node/shell"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

func (r *running) describe(m *catalog.Model) api.Model {
	size, here := r.catalog.Size(m)
	v := api.Model{
		Name: m.Name, CID: m.CID.String(), Task: m.Config.Task(), Arch: m.Config.Arch, Quantization: m.Manifest.Quantization, License: m.Manifest.License,
		Bytes: size, BytesHere: here, Blocks: m.Config.Blocks(), Context: m.Config.ContextLen(), Pinned: r.catalog.Pinned(m.CID),
		Served: slices.Contains(r.hosted(), m.CID),
	}
	if m.Manifest.Created > 0 {
		v.Created = time.Unix(m.Manifest.Created, 0).UTC()
	}
	for _, a := range r.host.Adverts() {
		for _, ad := range a.Models {
			if ad.Model == m.CID {
				count(&v, ad)
			}
		}
	}
	return v
}

// count adds a peer to those that hold or serve a model.
func count(v *api.Model, ad wire.ModelAdvert) {
	if len(ad.Held)+len(ad.Served) > 0 {
		v.Peers++
	}
	if len(ad.Served) > 0 {
		v.Serving++
	}
}

func (r *running) getModels(w http.ResponseWriter, _ *http.Request) error {
	out := []api.Model{}
	for _, m := range r.catalog.List() {
		out = append(out, r.describe(m))
	}
	for _, f := range r.foreign() {
		out = append(out, api.Model{Name: f.name, CID: f.id.String(), Peers: f.peers, Serving: f.serving})
	}
	if r.carries(BuiltinModel) && !slices.ContainsFunc(out, func(m api.Model) bool { return m.Name == BuiltinModel }) {
		out = append(out, api.Model{Name: BuiltinModel, Builtin: true})
	}
	slices.SortStableFunc(out, func(a, b api.Model) int { return strings.Compare(a.Name, b.Name) })
	return answer(w, out)
}

func (r *running) getModel(w http.ResponseWriter, req *http.Request) error {
	m, err := r.find(req.Context(), req.PathValue("name"))
	if err != nil {
		return err
	}
	v := r.describe(m)
	v.NoTemplate = v.Task == gateway.TaskGenerate && !m.Chats()
	held := r.catalog.Held(m)
	own, shared := catalog.PartSizes(m.Manifest)
	for i, p := range m.Manifest.Parts {
		part := api.Part{Name: partName(p), Bytes: own[i], Shared: shared[i], Here: slices.ContainsFunc(held, func(h wire.Range) bool { return holds(h, p) })}
		for _, t := range p.Tensors {
			part.Tensors = append(part.Tensors, api.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Blocks: t.Blocks.Len()})
		}
		v.Parts = append(v.Parts, part)
	}
	return answer(w, v)
}

func holds(r wire.Range, p wire.Part) bool {
	switch p.Kind {
	case wire.PartEmbedding:
		return r.Embed
	case wire.PartHead:
		return r.Head
	}
	return p.Index >= r.First && p.Index < r.Last
}

func partName(p wire.Part) string {
	switch p.Kind {
	case wire.PartEmbedding:
		return "embedding"
	case wire.PartHead:
		return "head"
	}
	return fmt.Sprintf("block %d", p.Index)
}

func (r *running) deleteModel(w http.ResponseWriter, req *http.Request) error {
	id, ok := r.ours(req.PathValue("name"))
	if !ok {
		return statusError{http.StatusNotFound, fmt.Errorf("model %s is not here", req.PathValue("name"))}
	}
	_, called, kept := r.catalog.Kept(id.String())
	if err := r.checkRemove(id, req); err != nil {
		return err
	}
	_, unsaved := r.hosting.Drop(id)
	if unsaved != nil && !store.IsFull(unsaved) {
		return unsaved
	}
	model, known := r.catalog.Find(id.String())
	var removed []api.Removed
	switch {
	case known:
		removed = append(removed, r.removed(model))
	case kept: // its manifest is lost
		removed = append(removed, api.Removed{Name: called, CID: id.String()})
	}
	if err := r.catalog.Remove(id); err != nil {
		return err
	}
	r.changes()
	done, err := r.collect(req.Context())
	if unsaved != nil { // there may be room for it now
		err = errors.Join(err, r.hosting.Save())
	}
	if err != nil {
		return fmt.Errorf("removed, but its space was not reclaimed: %w", err)
	}
	done.Models = append(removed, done.Models...)
	if known {
		_, done.Stay = r.catalog.Size(model)
		done.Sharing = r.catalog.Sharing(model)
	}
	return answer(w, done)
}

// removed describes a model that is about to go.
func (r *running) removed(m *catalog.Model) api.Removed {
	_, here := r.catalog.Size(m)
	return api.Removed{Name: m.Name, CID: m.CID.String(), Bytes: here}
}

// collect gives back the space of what no model needs that is pinned or served. It tells which
// models went with that, and takes their names away.
func (r *running) collect(ctx context.Context) (api.Collected, error) {
	var loose []*catalog.Model
	var what []api.Removed
	for _, m := range r.catalog.List() {
		if !r.catalog.Pinned(m.CID) {
			loose, what = append(loose, m), append(what, r.removed(m))
		}
	}
	st, err := r.store.GC(ctx)
	err = unreadable(err)
	now := r.store.Stat()
	done := api.Collected{Blocks: st.Removed, Bytes: st.RemovedBytes, Freed: st.Freed, Room: now.Free, Full: now.Full, Mend: now.Mend}
	if st.Removed == 0 {
		return done, err
	}
	for i, m := range loose {
		if r.store.Has(m.CID) || r.catalog.Pinned(m.CID) {
			continue
		}
		err = errors.Join(err, r.catalog.Remove(m.CID))
		done.Models = append(done.Models, what[i])
	}
	r.changes()
	return done, err
}

// unreadable tells of a GC that a model stopped which cannot be read what helps.
func unreadable(err error) error {
	var bad *store.RootError
	if !errors.As(err, &bad) {
		return err
	}
	name := shell.Quote(cmp.Or(bad.Name, bad.Root.String()))
	return fmt.Errorf("%w: as it is not known what that model needs nothing goes; remove it (covey model rm %s), or bring it back (covey model pull %s, or import it again)", err, name, name)
}

// hosted returns the models that this node serves, or is to serve.
func (r *running) hosted() (out []cid.Cid) {
	for _, h := range r.hosting.Hosted() {
		out = append(out, h.Model)
	}
	return out
}

// checkRemove refuses to remove a model of which this node serves blocks, unless force=true
// is asked for.
func (r *running) checkRemove(id cid.Cid, req *http.Request) error {
	if req.URL.Query().Get("force") == "true" {
		return nil
	}
	for _, h := range r.hosting.Hosted() {
		if h.Model == id && h.State == hosting.Serving {
			return statusError{http.StatusBadRequest, fmt.Errorf("this node serves blocks %d-%d of %s; use `covey host %s --off` first, or --force", h.Range.First, int(h.Range.Last)-1, h.Name, shell.Quote(h.Name))}
		}
	}
	return nil
}

// ours finds a model that is here or is to be served here: of one that could not be brought
// back after a restart there may be nothing but the intention, and of one whose manifest is lost
// nothing but a name or a pin.
func (r *running) ours(name string) (cid.Cid, bool) {
	if m, ok := r.catalog.Find(name); ok {
		return m.CID, true
	}
	if id, _, ok := r.catalog.Kept(name); ok {
		return id, true
	}
	name = catalog.CutLatest(name)
	for _, h := range r.hosting.Hosted() {
		if h.Name == name || h.Model.String() == name {
			return h.Model, true
		}
	}
	return cid.Undef, false
}

func (r *running) postImport(w http.ResponseWriter, req *http.Request) error {
	var in api.ImportRequest
	if err := read(req, &in); err != nil {
		return err
	}
	builtin := in.Path == "" && r.cfg.Builtin != nil
	if !builtin && !filepath.IsAbs(in.Path) {
		return statusError{http.StatusBadRequest, errors.New("path must be absolute")}
	}
	e := newEvents(w, req)
	var total int64
	progress := func(done, all int64) {
		total = all
		e.send(api.Event{Stage: "importing", Bytes: done, Total: all})
	}
	var m *catalog.Model
	var err error
	if builtin {
		m, err = r.importBuiltin(req.Context(), in.Name, in.Quantize, progress)
	} else {
		m, err = r.catalog.ImportFiles(req.Context(), in.Path, in.Name, in.Quantize, progress)
	}
	r.changes()
	if err != nil {
		return e.finish(api.Event{}, err)
	}
	last := api.Event{Model: m.CID.String(), Name: m.Name, Bytes: total, Total: total, Warnings: m.Findings.Warnings()}
	for _, n := range m.Findings.NotFinite {
		last.NotFinite = append(last.NotFinite, api.NotFinite(n))
	}
	return e.finish(last, nil)
}

func (r *running) postPull(w http.ResponseWriter, req *http.Request) error {
	var in api.PullRequest
	if err := read(req, &in); err != nil {
		return err
	}
	m, err := r.find(req.Context(), in.Model)
	if err != nil {
		return err
	}
	if in.Blocks == "" {
		in.Blocks = "all"
	}
	rng, err := hosting.ParseRange(in.Blocks, m.Config.Blocks())
	if err != nil {
		return statusError{http.StatusBadRequest, err}
	}
	if err := r.pin(m.CID); err != nil {
		return err
	}
	e := newEvents(w, req)
	total := r.catalog.PartBytes(m, rng)
	st, err := r.catalog.Fetch(req.Context(), m, rng, exchange.Options{Progress: func(s exchange.Stats) {
		e.send(api.Event{Stage: hosting.Fetching, Bytes: s.Bytes + s.Skipped, Total: total})
	}})
	r.changes()
	last := api.Event{Model: m.CID.String(), Name: m.Name, Bytes: st.Bytes, Total: total, Range: &rng}
	last.From, last.Names = r.from(st)
	return e.finish(last, r.notFetched(m.Name, m.CID, err))
}

func (r *running) postBench(w http.ResponseWriter, req *http.Request) error {
	var in api.BenchRequest
	if err := read(req, &in); err != nil {
		return err
	}
	m, err := r.find(req.Context(), in.Model)
	if err != nil {
		return err
	}
	if !r.complete(m) {
		return statusError{http.StatusConflict, fmt.Errorf("not all of %s is here: covey model pull %s", m.Name, shell.Quote(m.Name))}
	}
	e := newEvents(w, req)
	report, err := r.catalog.Bench(req.Context(), m, catalog.BenchOptions{
		Threads: in.Threads, Prompt: in.Prompt, Tokens: in.Tokens, Streams: in.Streams, Repeat: in.Repeat,
		Progress: func(what string) { e.send(api.Event{Stage: what}) },
	})
	return e.finish(api.Event{Model: m.CID.String(), Name: m.Name, Report: report}, err)
}

// from tells how much came from each peer, and what those are called.
func (r *running) from(st exchange.Stats) (bytes map[string]int64, names map[string]string) {
	bytes, names = map[string]int64{}, map[string]string{}
	for p, n := range st.From {
		bytes[p.String()] = n
		if name := r.host.Name(p); name != "" {
			names[p.String()] = name
		}
	}
	return bytes, names
}

func (r *running) postPin(w http.ResponseWriter, req *http.Request) error {
	var in api.PinRequest
	if err := read(req, &in); err != nil {
		return err
	}
	m, ok := r.catalog.Find(in.Model)
	if id, called, kept := r.catalog.Kept(in.Model); !ok && kept && !in.Pinned { // its manifest is lost
		if err := r.catalog.Unpin(id); err != nil {
			return err
		}
		return answer(w, api.Model{Name: called, CID: id.String()})
	}
	if !ok {
		return statusError{http.StatusNotFound, fmt.Errorf("model %s is not here", in.Model)}
	}
	err := r.catalog.Unpin(m.CID)
	if in.Pinned {
		err = r.catalog.Pin(m.CID)
	}
	if err != nil {
		return err
	}
	return answer(w, r.describe(m))
}

// pin keeps a model that its owner asks for, also one that was unpinned before.
func (r *running) pin(id cid.Cid) error {
	if r.catalog.Pinned(id) {
		return nil
	}
	return r.catalog.Pin(id)
}

func (r *running) postHost(w http.ResponseWriter, req *http.Request) error {
	var in api.HostRequest
	if err := read(req, &in); err != nil {
		return err
	}
	if err := r.forbidden(); err != nil {
		return statusError{http.StatusForbidden, err}
	}
	m, err := r.find(req.Context(), in.Model)
	if err != nil {
		return err
	}
	if err := r.pin(m.CID); err != nil {
		return err
	}
	// What is loaded for requests of this node makes room, unless it is just what is wanted.
	r.worker.Evict(func(id cid.Cid, rng wire.Range) bool {
		return r.hosting.Wanted(id, rng) || id == m.CID && in.Blocks == "all"
	})
	e := newEvents(w, req)
	rng, st, err := r.hosting.Host(req.Context(), m, in.Blocks, func(state string, done, total int64) {
		e.send(api.Event{Stage: state, Bytes: done, Total: total})
	})
	if err == nil {
		r.announced(req.Context())
	}
	last := api.Event{Model: m.CID.String(), Name: m.Name, Bytes: st.Bytes, Range: &rng}
	last.From, last.Names = r.from(st)
	return e.finish(last, r.notFetched(m.Name, m.CID, err))
}

func (r *running) deleteHost(w http.ResponseWriter, req *http.Request) error {
	name := req.PathValue("name")
	id, ok := r.ours(name)
	if !ok {
		return statusError{http.StatusNotFound, fmt.Errorf("model %s is not here", name)}
	}
	served, err := r.hosting.Drop(id)
	if err == nil && !served {
		err = statusError{http.StatusNotFound, fmt.Errorf("model %s is not served here", name)}
	}
	if err != nil {
		return err
	}
	return answer(w, map[string]bool{"served": false})
}
