package node

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes that is written with a unit: 512MiB, 4GiB, 10MB, 1000. 0 means
// the default of whatever it sizes.
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	number, unit := text, ""
	if i := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }); i >= 0 {
		number, unit = text[:i], strings.TrimSpace(text[i:])
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return fmt.Errorf("size %q: want a number and a unit, such as 4GiB", text)
	}
	factor, ok := map[string]float64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}[unit]
	if !ok {
		return fmt.Errorf("size %q: unit %q is not one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB", text, unit)
	}
	if n *= factor; n > math.MaxInt64/2 {
		return fmt.Errorf("size %q is too large", text)
	}
	*s = Size(n)
	return nil
}

// MarshalText writes a size in the largest unit that holds it exactly.
func (s Size) MarshalText() ([]byte, error) {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	n, i := int64(s), 0
	for n != 0 && n%1024 == 0 && i < len(units)-1 {
		n /= 1024
		i++
	}
	return []byte(fmt.Sprintf("%d%s", n, units[i])), nil
}
