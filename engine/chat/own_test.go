package chat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// The templates are under testdata/templates; testdata/make_cases.py renders them.
func TestRenderOwnTemplates(t *testing.T) {
	t.Parallel()
	checkCases(t, "own_cases.json")
}

// The templates are the lines of testdata/expressions.txt.
func TestRenderExpressions(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "expressions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Template, Error string
		Text            *string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	conversation := readCases(t, "own_cases.json").Conversations["tools"]
	for _, c := range cases {
		got, err := render(c.Template, input(t, conversation))
		switch {
		case c.Text == nil && err == nil:
			t.Errorf("%s\n got %q\nwant an error like %q", c.Template, got, c.Error)
		case c.Text != nil && err != nil:
			t.Errorf("%s\n got error %v\nwant %q", c.Template, err, *c.Text)
		case c.Text != nil && got != *c.Text:
			t.Errorf("%s\n got %q\nwant %q", c.Template, got, *c.Text)
		}
	}
}
