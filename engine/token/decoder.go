package token

import "strings"

// Decoder turns a stream of ids into text, piece by piece. It never gives half a
// character. What Next and Flush return, put together, is what [Tokenizer.Decode] returns
// of the same ids (where ids do not form UTF-8, the number of U+FFFD may differ). Make one
// with [Tokenizer.NewDecoder]; it serves one stream and is not safe for concurrent use.
type Decoder struct {
	t    *Tokenizer
	skip bool
	feed sink
	ends []func()
	out  strings.Builder
}

// NewDecoder starts a stream. With skipSpecial, special tokens give no text.
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder { return t.newDecoder(skipSpecial, false) }

func (t *Tokenizer) newDecoder(skipSpecial, whole bool) *Decoder {
	d := &Decoder{t: t, skip: skipSpecial}
	next := sink(func(s string, _ bool) { d.out.WriteString(s) })
	d.ends = make([]func(), len(t.decoders))
	for i := len(t.decoders) - 1; i >= 0; i-- {
		st, out := t.decoders[i](whole), next
		next = func(s string, fresh bool) { st.push(s, fresh, out) }
		d.ends[i] = func() { st.flush(out) }
	}
	d.feed = next
	return d
}

func (d *Decoder) push(id int32) {
	if d.t.Token(id) == "" || d.skip && d.t.skip[id] {
		return
	}
	d.feed(d.t.chainText(id), true)
}

// Next takes one id and returns the text that is now complete, often "". Ids outside the
// vocabulary are skipped.
func (d *Decoder) Next(id int32) string {
	d.push(id)
	return d.take()
}

// Flush ends the stream and returns the rest of its text; a character that is not complete
// becomes U+FFFD. The Decoder must not be used afterwards.
func (d *Decoder) Flush() string {
	for _, end := range d.ends {
		end()
	}
	return d.take()
}

func (d *Decoder) take() string {
	s := d.out.String()
	d.out.Reset()
	return s
}
