package conformance

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// oracle is the reference, at work in a process of its own: oracle.mjs says how it is spoken to.
type oracle struct {
	t       testing.TB
	name    string
	in      *bufio.Writer
	out     *bufio.Reader
	seconds float64 // of the last texts read, for encoding alone
}

// newOracle starts the reference for the tokenizer in directory, with one thread. It ends with the test.
func newOracle(t testing.TB, directory string) *oracle {
	t.Helper()
	script, err := filepath.Abs("oracle.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if directory, err = filepath.Abs(directory); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("node", script, directory)
	command.Dir = *packages
	command.Env = append(os.Environ(), "TOKENIZERS_PARALLELISM=false", "RAYON_NUM_THREADS=1")
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("start the reference: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("the reference: %v", err)
		}
	})
	return &oracle{t: t, name: directory, in: bufio.NewWriterSize(in, 1<<20), out: bufio.NewReaderSize(out, 1<<20)}
}

// The reference says today what it said when the cases were stored: it is the same one, and rightly asked.
func TestOracle(t *testing.T) {
	if *packages == "" {
		t.Skip("needs -packages: see make conformance")
	}
	for _, v := range vocabularies {
		t.Run(v.name, func(t *testing.T) {
			newOracle(t, v.directory(t)).sayCases(t, v)
		})
	}
}

// sayCases compares what the reference says with the stored cases of a vocabulary.
func (o *oracle) sayCases(t *testing.T, v vocabulary) {
	t.Helper()
	for _, name := range v.cases {
		cases := readCases(t, testdata+"tokenizers/"+name)
		texts := make([]string, len(cases))
		for i, c := range cases {
			texts[i] = c.Text
		}
		for i, got := range o.read(texts) {
			if want := cases[i]; got.String() != want.String() {
				t.Errorf("%s: line %d:\n%s, want\n%s", name, i+1, got, want)
			}
		}
	}
}

// read returns what the reference makes of texts.
func (o *oracle) read(texts []string) []reading {
	o.t.Helper()
	if err := o.ask(texts); err != nil {
		o.t.Fatalf("%s: ask the reference: %v", o.name, err)
	}
	readings, err := o.answers(texts)
	if err != nil {
		o.t.Fatalf("%s: answer of the reference: %v", o.name, err)
	}
	return readings
}

func (o *oracle) ask(texts []string) error {
	request := binary.LittleEndian.AppendUint32(nil, uint32(len(texts)))
	for _, text := range texts {
		request = binary.LittleEndian.AppendUint32(request, uint32(len(text)))
		request = append(request, text...)
	}
	if _, err := o.in.Write(request); err != nil {
		return err
	}
	return o.in.Flush()
}

func (o *oracle) answers(texts []string) ([]reading, error) {
	var seconds [8]byte
	if _, err := io.ReadFull(o.out, seconds[:]); err != nil {
		return nil, err
	}
	o.seconds = math.Float64frombits(binary.LittleEndian.Uint64(seconds[:]))
	readings := make([]reading, len(texts))
	for i := range readings {
		var fields [3][]byte
		for f := range fields {
			var err error
			if fields[f], err = o.field(); err != nil {
				return nil, fmt.Errorf("text %d: %w", i, err)
			}
		}
		readings[i] = reading{Text: texts[i], IDs: parseIDs(fields[0]), Special: parseIDs(fields[1]), Decoded: string(fields[2])}
	}
	return readings, nil
}

// field returns the contents of a field, which its length precedes.
func (o *oracle) field() ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(o.out, length[:]); err != nil {
		return nil, err
	}
	contents := make([]byte, binary.LittleEndian.Uint32(length[:]))
	_, err := io.ReadFull(o.out, contents)
	return contents, err
}

func parseIDs(field []byte) []int32 {
	ids := make([]int32, len(field)/4)
	for i := range ids {
		ids[i] = int32(binary.LittleEndian.Uint32(field[4*i:]))
	}
	return ids
}
