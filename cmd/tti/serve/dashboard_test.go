package serve

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tti-llm/tti/format/strictjson"
)

// TestDashboard holds the dashboard against the metrics: all it shows is there.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := (strictjson.Limits{}).Check(text); err != nil {
		t.Fatal(err)
	}
	c := serve(t, Options{})
	c.ask(200, "POST", completionPath, `{"model":"llama","prompt":"The","max_tokens":5,"ignore_eos":true}`)
	r := c.send("GET", "/metrics", "")
	defer r.Body.Close()
	metrics, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`\b(tti|go|process)_[a-z_]+`).FindAllString(string(text), -1) {
		if !strings.Contains(string(metrics), "\n"+name+"{") && !strings.Contains(string(metrics), "\n"+name+" ") {
			t.Errorf("the dashboard shows %s, which is not there", name)
		}
	}
}
