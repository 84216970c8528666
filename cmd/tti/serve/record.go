package serve

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// Record is a request and its answer, a line of a log. With the model's file it is all that is needed to compute the answer again.
type Record struct {
	Time        time.Time       `json:"time"` // that a chat template may have seen
	ID          string          `json:"id"`
	Endpoint    string          `json:"endpoint"`
	Model       string          `json:"model"`
	Fingerprint string          `json:"system_fingerprint"`
	Seed        uint64          `json:"seed"`
	Request     json.RawMessage `json:"request"`         // as it came
	Choices     json.RawMessage `json:"choices"`         // of the answer in one piece, null if there was none
	Usage       *usage          `json:"usage,omitempty"` // of the answer
	Error       string          `json:"error,omitempty"` // why there was none
}

// Recorder appends records to a file. It is safe for concurrent use.
type Recorder struct {
	mutex sync.Mutex
	file  *os.File
	err   error // the first that there was
}

// NewRecorder appends to the file at path, which only its owner may read, for it holds what people write.
func NewRecorder(path string) (*Recorder, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &Recorder{file: file}, nil
}

// Close returns the first error that writing has met.
func (r *Recorder) Close() error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if err := r.file.Close(); r.err == nil {
		r.err = err
	}
	return r.err
}

// add writes what became of a call, if anybody keeps it. The error is that of writing.
func (r *Recorder) add(c *call, body []byte, a answer, err error) error {
	if r == nil {
		return nil
	}
	record := Record{
		Time: c.created, ID: c.id, Endpoint: c.kind.endpoint, Model: c.name, Fingerprint: c.model.fingerprint, Seed: c.seed,
		Request: body, Choices: json.RawMessage("null"),
	}
	if err != nil {
		record.Error = err.Error()
	} else {
		record.Choices, record.Usage = encodeJSON(c.whole(a).Choices), &a.usage
	}
	return r.write(append(encodeJSON(record), '\n'))
}

func (r *Recorder) write(line []byte) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	_, err := r.file.Write(line)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("write %s: %w", r.file.Name(), err)
	}
	return err
}
