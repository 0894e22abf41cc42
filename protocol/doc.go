// Package protocol names what peers agree on before they speak: the protocol identifiers,
// the capability number with its dated history, and every limit with its reason.
// It holds constants and pure functions only; any package may import it.
package protocol
