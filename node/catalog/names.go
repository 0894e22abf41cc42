package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/shell"
	"github.com/covey-network/covey/protocol"
)

// ErrNameTaken means that a local name stands for another model.
var ErrNameTaken = errors.New("name stands for another model")

// cidPrefix begins the text of every identifier of ours (CIDv1, raw, sha2-256). No name
// may, so that a name is never mistaken for a model it does not stand for.
const cidPrefix = "bafkrei"

// CheckName reports why a text cannot be the local name of a model.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > protocol.MaxTextName:
		return fmt.Errorf("model name has %d bytes, want 1 to %d", len(name), protocol.MaxTextName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unprintable):
		return fmt.Errorf("model name %q has characters that cannot be printed", name)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("model name %q begins or ends with a space", name)
	case slices.ContainsFunc(strings.Split(name, "/"), func(s string) bool { return s == "." || s == ".." }):
		return fmt.Errorf("model name %q has . or .. in it, as a path has", name)
	case strings.HasPrefix(name, cidPrefix):
		return fmt.Errorf("model name %q looks like an identifier", name)
	}
	return nil
}

// latest is the tag that a name without one stands for: NAME and NAME:latest are the same.
const latest = ":latest"

// CutLatest returns a name without the tag that it has anyway.
func CutLatest(name string) string {
	for strings.HasSuffix(name, latest) && len(name) > len(latest) {
		name = name[:len(name)-len(latest)]
	}
	return name
}

// shortID is how many characters of an identifier tell it from others of a name.
const shortID = 8

// Tagged returns the name of a model whose plain name stands for another one: NAME:TAG, with
// a tag of its identifier.
func Tagged(name string, id cid.Cid) string {
	sep := ":"
	if strings.Contains(name, sep) {
		sep = "-"
	}
	tag := sep + strings.TrimPrefix(id.String(), cidPrefix)[:shortID]
	return cut(name, protocol.MaxTextName-len(tag)) + tag
}

// Short returns the first characters of a model's identifier, by which it can be asked for.
func Short(id cid.Cid) string {
	s := id.String()
	return s[:min(len(s), len(cidPrefix)+shortID)]
}

// taken tells that a name stands for another model, and what to do.
func (c *Catalog) taken(name string, by cid.Cid) error {
	what := by.String()
	if m, err := c.local(by); err == nil {
		what = fmt.Sprintf("%s of %s", m.Config.Arch, what)
	}
	q := shell.Quote(name)
	return fmt.Errorf("%w: %q is %s; give the new one another name (--name %s), or remove that one first (covey model rm %s)",
		ErrNameTaken, name, what, shell.Quote(name+":2"), q)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// cleanName makes a name without the tag latest of what a file calls itself.
func cleanName(text string) string {
	text = strings.ToValidUTF8(text, "")
	text = strings.Map(func(r rune) rune {
		if unprintable(r) {
			return -1
		}
		return r
	}, text)
	text = CutLatest(strings.TrimSpace(cut(text, protocol.MaxTextName)))
	text = strings.TrimSpace(text)
	if CheckName(text) != nil {
		return "model"
	}
	return text
}

// cut shortens a text to at most n bytes without splitting a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// Rename makes name the only local name of a model that is here. It is ErrNameTaken if the
// name stands for another one.
func (c *Catalog) Rename(id cid.Cid, name string) error {
	name = CutLatest(name)
	if err := CheckName(name); err != nil {
		return err
	}
	if _, err := c.open(id); err != nil {
		return fmt.Errorf("rename model %s: %w", id, err)
	}
	c.naming.Lock()
	defer c.naming.Unlock()
	if other, taken := c.named(name); taken && other != id {
		return fmt.Errorf("rename model: %w", c.taken(name, other))
	}
	if err := c.store.SetName(name, id); err != nil {
		return fmt.Errorf("rename model: %w", err)
	}
	for _, old := range c.namesByCID()[id] {
		if old == name {
			continue
		}
		if err := c.store.SetName(old, cid.Undef); err != nil {
			return fmt.Errorf("rename model: %w", err)
		}
	}
	return nil
}

// named returns what a name stands for here. Older versions kept NAME:latest as it is.
func (c *Catalog) named(name string) (id cid.Cid, ok bool) {
	plain := CutLatest(name)
	for _, same := range []string{name, plain, plain + latest} {
		if id, ok = c.store.Name(same); ok {
			break
		}
	}
	return id, ok
}

// namesByCID returns the names of each model in order.
func (c *Catalog) namesByCID() map[cid.Cid][]string {
	out := map[cid.Cid][]string{}
	for name, id := range c.store.Names() {
		out[id] = append(out[id], name)
	}
	for _, names := range out {
		slices.Sort(names)
	}
	return out
}
