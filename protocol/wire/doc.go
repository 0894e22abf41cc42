// Package wire holds the messages peers exchange: Hello, Grant and Token, blocks and infer
// messages, Advert. Each is deterministic CBOR (RFC 8949, section 4.2.1) with integer keys;
// the one canonical form is both sent and signed. Decode refuses any other form, checks
// limits before it allocates and calls Validate. Values are plain data without locks.
// Unknown keys are ignored, so that a newer peer can add some.
package wire
