package train

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Keys returns what is set in a configuration, by the keys of a job file: the fields with a
// toml tag of a struct, those of its sections after a dot and those of lists of sections by
// their numbers. What is empty, zero or nil is left out: it is the default.
func Keys(config any) map[string]string {
	keys := map[string]string{}
	collect(keys, "", reflect.ValueOf(config))
	return keys
}

func collect(keys map[string]string, at string, v reflect.Value) {
	pointer := v.Kind() == reflect.Pointer
	if pointer {
		v = v.Elem() // of nil: not valid
	}
	switch {
	case !v.IsValid():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ","); name != "" && name != "-" {
				collect(keys, strings.TrimPrefix(at+"."+name, "."), v.Field(i))
			}
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			collect(keys, fmt.Sprintf("%s[%d]", at, i), v.Index(i))
		}
	case v.Kind() == reflect.Slice && v.Len() == 0:
	case pointer || !v.IsZero():
		keys[at] = text(v)
	}
}

// text writes a value as a job file does.
func text(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = text(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// Differences says of each key whose value is not the same what it was and what it is, in
// the order of the keys.
func Differences(was, is map[string]string) []string {
	all := maps.Clone(was)
	maps.Copy(all, is)
	var out []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if a, b := was[key], is[key]; a != b {
			out = append(out, fmt.Sprintf("%s was %s and is %s", key, shown(a), shown(b)))
		}
	}
	return out
}

// shown cuts long values short.
func shown(v string) string {
	const most = 80
	switch {
	case v == "":
		return "not set"
	case len(v) > most:
		return strings.ToValidUTF8(v[:most], "") + "..."
	}
	return v
}

// ConfigError is the error of going on with a state of another configuration.
type ConfigError struct {
	Differences []string // one for each key, as Differences says them
}

// Error implements error.
func (e *ConfigError) Error() string {
	return "it is of another configuration: " + strings.Join(e.Differences, ", ")
}
