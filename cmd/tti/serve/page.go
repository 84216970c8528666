package serve

import (
	"embed"
	"net/http"
	"path"
)

// pageFiles are those of the page: HTML, CSS and JavaScript as a browser reads them, without a build.
//
//go:embed page
var pageFiles embed.FS

// pageHeaders go with every file of the page. Its scripts and styles are its own files and nothing else, it talks to this
// server alone, and no script can turn text into HTML: what a model writes stays text even if the page had a mistake.
var pageHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
	"X-Content-Type-Options":     "nosniff",
	"Referrer-Policy":            "no-referrer",
	"Cross-Origin-Opener-Policy": "same-origin",
	"Cache-Control":              "no-cache", // the files have no versions in their names
}

// pageTypes are the kinds of its files. The system's table, which package mime asks, is not the same everywhere.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// showPage answers with the page to talk to a model.
func (s *Server) showPage(w http.ResponseWriter, _ *http.Request) error {
	return writePageFile(w, "index.html")
}

// showPageFile answers with a file that the page needs.
func (s *Server) showPageFile(w http.ResponseWriter, r *http.Request) error {
	return writePageFile(w, r.PathValue("file"))
}

func writePageFile(w http.ResponseWriter, name string) error {
	content, err := pageFiles.ReadFile(path.Join("page", name))
	if err != nil {
		return notFound("the page has no file %.100q", name)
	}
	for header, value := range pageHeaders {
		w.Header().Set(header, value)
	}
	w.Header().Set("Content-Type", pageTypes[path.Ext(name)])
	w.Write(content) // a client that is gone will not hear of it
	return nil
}
