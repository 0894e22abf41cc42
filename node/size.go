package node

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes that is written with a unit, as people do: 512MiB, 4GiB, 4G, 10 MB,
// 512m. A letter alone is the unit of 1024, as memory has it. 0 means the default of whatever
// it sizes.
type Size int64

// units are the factors of units in lower case.
var units = map[string]float64{
	"b": 1, "byte": 1, "bytes": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	number, unit := text, ""
	if i := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }); i >= 0 {
		number, unit = text[:i], strings.ToLower(strings.TrimSpace(text[i:]))
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return fmt.Errorf("size %.40q: want a number and a unit, such as 4GiB", text)
	}
	if strings.HasPrefix(unit, ",") {
		return fmt.Errorf("size %.40q: write a decimal point: %.40s", text, strings.Replace(text, ",", ".", 1))
	}
	if unit == "" && n != 0 {
		return fmt.Errorf("size %.40q: %.40s what? a size has a unit, such as %.40sGiB", text, number, number)
	}
	factor, ok := units[unit]
	if !ok && unit != "" {
		return fmt.Errorf("size %.40q: unit %.20q is not one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, or K, M, G, T", text, unit)
	}
	if n *= factor; n > math.MaxInt64/2 {
		return fmt.Errorf("size %.40q is too large", text)
	}
	*s = Size(n)
	return nil
}

// MarshalText writes a size in the largest unit that holds it exactly: 4GiB, 4GB.
func (s Size) MarshalText() ([]byte, error) {
	best, name := int64(s), "B"
	for _, u := range []string{"kB", "KiB", "MB", "MiB", "GB", "GiB", "TB", "TiB"} {
		if f := int64(units[strings.ToLower(u)]); s != 0 && int64(s)%f == 0 {
			best, name = int64(s)/f, u
		}
	}
	return fmt.Appendf(nil, "%d%s", best, name), nil
}
