package hub

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tti-llm/tti/convert/hub/hubtest"
)

// model is a small repository with everything that is to be fetched and much that is not.
func model() map[string][]byte {
	return map[string][]byte{
		"config.json":            []byte(`{"model_type":"gpt2"}`),
		"model.safetensors":      noise(1, 3<<20+17),
		"vocab.json":             []byte(`{"a":0}`),
		"merges.txt":             []byte("#version: 0.2\n"),
		"generation_config.json": {}, // an empty file is a file
		"tokenizer.model":        []byte("not needed"),
		"pytorch_model.bin":      noise(2, 100),
		"README.md":              []byte("not needed"),
		"onnx/model.safetensors": noise(3, 100),
	}
}

// wanted are the files of model that Fetch is to bring.
var wanted = []string{"config.json", "model.safetensors", "vocab.json", "merges.txt", "generation_config.json"}

func noise(seed byte, size int) []byte {
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(content)
	return content
}

// newClient returns a client of the hub with an empty cache, which does not really wait between attempts.
func newClient(t *testing.T, server *hubtest.Server) *Client {
	timing := quickTiming(nil)
	return &Client{Endpoint: server.URL(), Cache: t.TempDir(), Token: hubtest.Token, timing: &timing}
}

// quickTiming records waits, if asked to, in place of waiting.
func quickTiming(waits *[]time.Duration) timing {
	var mutex sync.Mutex
	t := defaultTiming
	t.lockPoll = time.Millisecond
	t.sleep = func(ctx context.Context, d time.Duration) error {
		mutex.Lock()
		defer mutex.Unlock()
		if waits != nil {
			*waits = append(*waits, d)
		}
		return context.Cause(ctx)
	}
	return t
}
