package gateway

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
	texttemplate "text/template"
)

// docsURL is where people read on.
const docsURL = "https://github.com/covey-network/covey#readme"

// about is what the index says: what answers here, and what it can be asked.
type about struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Version string   `json:"version,omitempty"` // for who may ask models
	Routes  []string `json:"routes"`
	Docs    string   `json:"docs"`
}

var (
	indexText = texttemplate.Must(texttemplate.New("text").Parse(`{{.Name}}{{with .Version}} {{.}}{{end}}: {{.About}}
{{range .Routes}}
  {{.}}{{end}}

{{.Docs}}
`))
	indexHTML = template.Must(template.New("html").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Name}}</title></head>
<body><h1>{{.Name}}{{with .Version}} {{.}}{{end}}</h1><p>{{.About}}</p>
<ul>{{range .Routes}}<li><code>{{.}}</code></li>{{end}}</ul>
<p><a href="{{.Docs}}">{{.Docs}}</a></p></body></html>
`))
)

// routes are the routes of a mux, with the names of those that take one method: what the index tells.
type routes struct {
	*http.ServeMux
	named []string
}

// Handle adds a route.
func (r *routes) Handle(pattern string, h http.Handler) {
	r.ServeMux.Handle(pattern, h)
	if method, path, ok := strings.Cut(pattern, " "); ok {
		r.named = append(r.named, method+" "+strings.NewReplacer("{$}", "", "...}", "}").Replace(path))
	}
}

// HandleFunc adds a route.
func (r *routes) HandleFunc(pattern string, h http.HandlerFunc) { r.Handle(pattern, h) }

// index tells somebody who looks what this is: in HTML for browsers, in JSON for programs,
// else as text. Under /v1 programs ask.
func (g *Gateway) index(w http.ResponseWriter, r *http.Request) {
	a := about{
		Name: "covey", About: "a peer of a swarm that answers for its models, as the OpenAI API and the Open Inference Protocol do",
		Routes: g.named, Docs: docsURL,
	}
	if len(g.cfg.Keys) == 0 || g.caller(r) != stranger {
		a.Version = g.cfg.Version
	}
	w.Header().Add("Vary", "Accept")
	accept := r.Header.Get("Accept")
	var page bytes.Buffer
	var err error
	switch {
	case r.URL.Path != "/" || strings.Contains(accept, "application/json"):
		err = writeJSON(w, a)
	case strings.Contains(accept, "text/html"):
		err = indexHTML.Execute(&page, a)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
	default:
		err = indexText.Execute(&page, a)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	if err != nil {
		writeError(w, asAPIError(r.Context(), err))
		return
	}
	_, _ = w.Write(page.Bytes()) // the client is gone if this fails
}
