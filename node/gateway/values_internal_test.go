package gateway

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// FuzzElements compares our walk over a list with what encoding/json finds in it, and the
// form that is checked with what encoding/json takes for valid.
func FuzzElements(f *testing.F) {
	for _, text := range []string{
		`[]`, ` [ ] `, `[1,2.5e-3,-0,"a\"]\\",null,true,[],{},[[1],[2]],{"a":[1,{"b":"}"}]}]`, "[\t1 ,\n2\r]", `["\ud83d\ude00","` + "\xff" + `"]`,
		`{"a":1,"b":{"c":[1,2,{"d":""}]}}`, `{"a":1,"A":2}`, `{"k":1,"\u212a":2}`, `"x"`, `1`, `[1`, `[1]]`, `{"a"}`, ``,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkJSON(data, 1000)
		if err == nil && !json.Valid(data) {
			t.Fatalf("%q is not valid", data)
		}
		var want []json.RawMessage
		if err != nil || kindOf(data) != kindList || json.Unmarshal(data, &want) != nil {
			return
		}
		n := 0
		err = elements(data, func(i int, element []byte) error {
			if i != n || i >= len(want) || !bytes.Equal(element, want[i]) {
				t.Errorf("element %d of %q is %q, want %q", i, data, element, want)
			}
			n++
			return nil
		})
		if err != nil || n != len(want) {
			t.Errorf("%d elements of %q, want %d, %v", n, data, len(want), err)
		}
	})
}

// FuzzCutOut compares an object without a member, and the member, with what encoding/json
// decodes.
func FuzzCutOut(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { } `, `{"data":[1,"]}"]}`, `{"a":1,"DATA" : "x\"y" ,"b":{"data":2}}`, "{\n\"b\":\"\",\t\"\\u0064ata\":null}", `{"":0,"c":[{}],"data":-1}`, `{"data":1,"z":"ÿ"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want struct{ Data json.RawMessage }
		var all, others map[string]json.RawMessage
		if checkJSON(data, 1000) != nil || kindOf(data) != kindObject || json.Unmarshal(data, &want) != nil || json.Unmarshal(data, &all) != nil {
			return
		}
		rest, value := cutOut(data, "data")
		if !bytes.Equal(value, want.Data) {
			t.Errorf("data of %q is %q, want %q", data, value, want.Data)
		}
		if err := json.Unmarshal(rest, &others); err != nil {
			t.Fatalf("the rest of %q is %q: %v", data, rest, err)
		}
		maps.DeleteFunc(all, func(key string, _ json.RawMessage) bool { return strings.EqualFold(key, "data") })
		if !maps.EqualFunc(all, others, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
			t.Errorf("the rest of %q is %q", data, rest)
		}
	})
}
