package packed

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/tti-llm/tti/format"
	"github.com/tti-llm/tti/format/killtest"
)

// newTTI writes a .tti file with tensors of the given numbers of values, half of them random, and
// returns its path and bytes.
func newTTI(t testing.TB, seed uint64, tensors ...int) (string, []byte) {
	t.Helper()
	meta, err := format.Meta{
		Architecture:    "gpt2",
		Hyperparameters: json.RawMessage(`{"n_layer":0}`),
		Mode:            "f32",
		Sources:         map[string]string{},
		Specification:   format.Specification,
		Tool:            "tti test",
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sections := []format.Section{{Name: format.MetaName, Kind: format.KindMeta, Shape: []int{len(meta)}}}
	for i, count := range tensors {
		sections = append(sections, format.Section{Name: fmt.Sprint("t", i), Kind: format.KindTensor, Encoding: format.Float32, Shape: []int{count}})
	}
	fill := func(_ context.Context, i int, w io.Writer) error {
		if i == 0 {
			_, err := w.Write(meta)
			return err
		}
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		content := make([]byte, 4*tensors[i-1])
		for k := range content[:len(content)/2] {
			content[k] = byte(random.Uint32())
		}
		_, err := w.Write(content)
		return err
	}
	path := filepath.Join(t.TempDir(), "model.tti")
	if err := format.Write(context.Background(), path, sections, fill, format.WriteOptions{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	return path, readFile(t, path)
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packBytes returns the packed form of any bytes.
func packBytes(t testing.TB, content []byte, o Options) []byte {
	t.Helper()
	var packed bytes.Buffer
	for _, err := range pack(context.Background(), &packed, bytes.NewReader(content), int64(len(content)), o) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return packed.Bytes()
}

// place is a file in memory that is written to in any order.
type place []byte

func (p place) WriteAt(b []byte, offset int64) (int, error) { return copy(p[offset:], b), nil }

// unpackBytes returns the .tti file in a packed one, verified.
func unpackBytes(packed []byte) ([]byte, error) {
	f, err := newFile(bytes.NewReader(packed), int64(len(packed)), Options{})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	whole := make(place, f.Size())
	return whole, f.verify(context.Background(), whole, nil)
}

// checkReason fails the test unless the error gives one of the reasons of package format, in one line.
func checkReason(t *testing.T, err error) {
	t.Helper()
	reasons := []error{format.ErrNotTTI, format.ErrTruncated, format.ErrChecksum, format.ErrUnsupported, format.ErrCorrupt, format.ErrPacked}
	if !slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) }) || strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("error %q gives no reason in one line", err)
	}
}

func listing(t testing.TB, directory string) string {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

// TestRoundTrip packs files of many sizes, and has them unpacked by this package, by a plain zstd
// stream decoder and by the zstd program, if there is one.
func TestRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	shapes := [][]int{{}, {1}, {frameSize / 4}, {1, frameSize, 3}, {1 << 10, 5 * frameSize / 8}}
	for range 10 {
		shapes = append(shapes, []int{1 + random.IntN(1000), 1 + random.IntN(100_000), 1 + random.IntN(10)})
	}
	program, err := exec.LookPath("zstd")
	if err != nil {
		t.Log("there is no zstd program to compare with")
	}
	for i, shape := range shapes {
		path, content := newTTI(t, uint64(i), shape...)
		directory := t.TempDir()
		packed, back := filepath.Join(directory, "model.tti.zst"), filepath.Join(directory, "model.tti")
		var last, total int64
		o := Options{NoSync: true, Progress: func(done, all int64) {
			if done < last {
				t.Errorf("progress goes back from %d to %d", last, done)
			}
			last, total = done, all
		}}
		for _, step := range []func() error{
			func() error { return Pack(context.Background(), path, packed, o) },
			func() error { last = 0; return Unpack(context.Background(), packed, back, o) },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
			if last != int64(len(content)) || total != last {
				t.Errorf("progress ended at %d of %d, want %d", last, total, len(content))
			}
		}
		if !bytes.Equal(readFile(t, back), content) {
			t.Errorf("tensors %v: unpacked differs", shape)
		}
		if got := listing(t, directory); got != "model.tti model.tti.zst" {
			t.Errorf("there is %q", got)
		}
		stream, err := zstd.NewReader(bytes.NewReader(readFile(t, packed)))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(stream)
		stream.Close()
		if err != nil || !bytes.Equal(plain, content) {
			t.Errorf("tensors %v: a zstd stream decoder gives something else, %v", shape, err)
		}
		if program != "" {
			plain, err := exec.Command(program, "-dcq", packed).Output()
			if err != nil || !bytes.Equal(plain, content) {
				t.Errorf("tensors %v: zstd -d gives something else, %v", shape, err)
			}
		}

		f, err := Open(packed)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		whole, err := format.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer whole.Close()
		if !slices.EqualFunc(f.Sections(), whole.Sections(), func(a, b format.Section) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) ||
			f.Size() != whole.Size() || f.IndexChecksum() != whole.IndexChecksum() {
			t.Errorf("tensors %v: the packed file says something else than the file", shape)
		}
		if meta, err := f.Meta(); err != nil || meta.Tool != "tti test" {
			t.Errorf("%v, %v", meta, err)
		}
		if err := f.Verify(context.Background(), nil); err != nil {
			t.Error(err)
		}
	}
}

// TestSeekTable reads the table as the seekable format's document has it, without this package.
func TestSeekTable(t *testing.T) {
	_, content := newTTI(t, 3, 700, 20)
	packed := packBytes(t, content, Options{frame: 1000})
	number := func(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }
	footer := packed[len(packed)-9:]
	count := number(footer)
	if want := (len(content) + 999) / 1000; count != want || footer[4] != 0x80 || number(footer[5:]) != 0x8F92EAB1 {
		t.Fatalf("footer % x, want %d frames", footer, want)
	}
	frame := packed[len(packed)-9-12*count-8:]
	if number(frame) != 0x184D2A5E || number(frame[4:]) != len(frame)-8 {
		t.Fatalf("skippable frame begins with % x", frame[:8])
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	rest, whole := packed, content
	for i := range count {
		entry := frame[8+12*i:]
		size, length := number(entry), number(entry[4:])
		got, err := decoder.DecodeAll(rest[:size], nil)
		if err != nil || !bytes.Equal(got, whole[:length]) {
			t.Fatalf("frame %d is not the file's next %d bytes, %v", i, length, err)
		}
		rest, whole = rest[size:], whole[length:]
	}
	if len(whole) != 0 || len(rest) != len(frame) {
		t.Errorf("%d bytes of the file and %d of the packed one are in no frame", len(whole), len(rest)-len(frame))
	}
}

// TestSameBytes packs with different numbers of workers and at different paces.
func TestSameBytes(t *testing.T) {
	_, content := newTTI(t, 5, 1000, 1_000_000, 77)
	want := packBytes(t, content, Options{Workers: 1})
	small := packBytes(t, content, Options{Workers: 1, frame: 5000})
	for _, workers := range []int{0, 2, 3, 16} {
		if !bytes.Equal(packBytes(t, content, Options{Workers: workers}), want) ||
			!bytes.Equal(packBytes(t, content, Options{Workers: workers, frame: 5000}), small) {
			t.Errorf("%d workers make other bytes than one", workers)
		}
	}
}

// TestEveryByteCounts changes every byte of a packed file. Whatever is accepted is byte for byte
// the original: some bits of a zstd stream mean nothing.
func TestEveryByteCounts(t *testing.T) {
	_, content := newTTI(t, 4, 100)
	for _, length := range []int64{0, 100} {
		packed := packBytes(t, content, Options{frame: length})
		flips, found := 0, 0
		for i := range packed {
			for _, flip := range []byte{1, 2, 4, 8, 16, 32, 64, 128, 255} {
				packed[i] ^= flip
				flips++
				got, err := unpackBytes(packed)
				switch {
				case err != nil:
					found++
					checkReason(t, err)
				case !bytes.Equal(got, content):
					t.Errorf("byte %d ^ %#x gives another file", i, flip)
				default:
					t.Logf("byte %d of %d ^ %#x gives the same file", i, len(packed), flip)
				}
				packed[i] ^= flip
			}
		}
		t.Logf("%d of %d flips in %d bytes detected, the others change nothing", found, flips, len(packed))
		if found < flips*99/100 {
			t.Errorf("only %d of %d flips are detected", found, flips)
		}
	}
}

// TestEveryLengthCounts truncates a packed file at every length, and makes it longer.
func TestEveryLengthCounts(t *testing.T) {
	_, content := newTTI(t, 4, 100)
	packed := packBytes(t, content, Options{frame: 100})
	for n := range packed {
		if _, err := unpackBytes(packed[:n]); !errors.Is(err, format.ErrTruncated) {
			t.Errorf("%d of %d bytes: %v, want ErrTruncated", n, len(packed), err)
		}
	}
	for _, more := range [][]byte{{0}, packed[:100], packed[len(packed)-9:], packed} {
		if _, err := unpackBytes(slices.Concat(packed, more)); err == nil {
			t.Errorf("%d bytes more go unnoticed", len(more))
		}
	}
	// Frames that lost their table.
	for i := len(packed) - 10; i > 0; i-- {
		_, err := unpackBytes(slices.Concat(packed[:i], packed[len(packed)-9:]))
		if err == nil {
			t.Errorf("bytes from %d cut out go unnoticed", i)
			continue
		}
		checkReason(t, err)
	}
}

// forge returns a packed file with a table that has been changed.
func forge(t *testing.T, packed []byte, change func(*table)) []byte {
	t.Helper()
	was, err := readTable(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	last := was.frames[len(was.frames)-1]
	frames := packed[:last.offset+int64(last.packed)]
	change(was)
	end, err := was.encode()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(frames, end)
}

func TestHostileTable(t *testing.T) {
	_, content := newTTI(t, 4, 100)
	packed := packBytes(t, content, Options{frame: 100})
	tests := map[string]func(t *table){
		"no frames":              func(t *table) { t.frames = nil },
		"frame missing":          func(t *table) { t.frames = t.frames[1:] },
		"last frame missing":     func(t *table) { t.frames = t.frames[:len(t.frames)-1] },
		"frame twice":            func(t *table) { t.frames = append(t.frames, t.frames[len(t.frames)-1]) },
		"frames swapped":         func(t *table) { t.frames[1], t.frames[2] = t.frames[2], t.frames[1] },
		"first frame empty":      func(t *table) { t.frames[0].length = 0 },
		"all frames empty":       func(t *table) { eachFrame(t, func(f *frame) { f.length = 0 }) },
		"last frame empty":       func(t *table) { t.frames[len(t.frames)-1].length = 0 },
		"last frame longer":      func(t *table) { t.frames[len(t.frames)-1].length = 101 },
		"last frame another":     func(t *table) { t.frames[len(t.frames)-1].length-- },
		"all frames longer":      func(t *table) { eachFrame(t, func(f *frame) { f.length++ }) },
		"all frames huge":        func(t *table) { eachFrame(t, func(f *frame) { f.length = 1<<32 - 1 }) },
		"all frames of the most": func(t *table) { eachFrame(t, func(f *frame) { f.length = MaxFrameSize }) },
		"packed 0":               func(t *table) { t.frames[3].packed = 0 },
		"packed huge":            func(t *table) { t.frames[3].packed = 1<<32 - 1 },
		"packed overlaps":        func(t *table) { t.frames[2].packed++ },
		"packed shifted":         func(t *table) { t.frames[2].packed++; t.frames[3].packed-- },
		"packed short":           func(t *table) { t.frames[2].packed-- },
		"checksum":               func(t *table) { t.frames[2].checksum ^= 1 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := unpackBytes(forge(t, packed, change))
			if err == nil {
				t.Fatal("it is accepted")
			}
			checkReason(t, err)
		})
	}
}

func eachFrame(t *table, change func(*frame)) {
	for i := range t.frames {
		change(&t.frames[i])
	}
}

// TestHostileFrames has tables and checksums that are right, around frames that no packer writes.
func TestHostileFrames(t *testing.T) {
	_, content := newTTI(t, 4, 100)
	encode := func(options ...zstd.EOption) []byte {
		encoder, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithSingleSegment(true)}, options...)...)
		if err != nil {
			t.Fatal(err)
		}
		defer encoder.Close()
		return encoder.EncodeAll(content, nil)
	}
	plain := encode()
	checksum := binary.LittleEndian.Uint32(plain[len(plain)-4:])
	file := func(frames []byte) []byte {
		var t table
		t.add(uint32(len(frames)), uint32(len(content)), checksum)
		end, _ := t.encode()
		return append(frames, end...)
	}
	if got, err := unpackBytes(file(slices.Clone(plain))); err != nil || !bytes.Equal(got, content) {
		t.Fatalf("a frame of another packer is refused: %v", err)
	}
	sum := binary.LittleEndian.AppendUint32(nil, checksum)
	for name, frame := range map[string][]byte{
		"without checksum":      append(encode(zstd.WithEncoderCRC(false)), sum...),
		"with a window":         encode(zstd.WithSingleSegment(false)),
		"skippable behind":      slices.Concat(plain, []byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, sum),
		"skippable before":      slices.Concat([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, plain),
		"empty frame behind":    slices.Concat(plain, frameHeader(0), []byte{1, 0, 0}, sum),
		"bytes behind":          slices.Concat(plain, sum),
		"a length of its own":   slices.Concat(frameHeader(uint32(len(content)-1)), plain[len(frameHeader(uint32(len(content)))):]),
		"blocks without an end": slices.Concat(frameHeader(uint32(len(content))), bytes.Repeat([]byte{0, 0, 0}, 100), sum),
		"one block too many":    slices.Concat(frameHeader(uint32(len(content))), []byte{2 | 1<<7, 0xff, 0xff, 0}, plain[len(frameHeader(uint32(len(content)))):]),
	} {
		_, err := unpackBytes(file(frame))
		if err == nil {
			t.Errorf("%s: it is accepted", name)
			continue
		}
		checkReason(t, err)
	}
}

// TestBomb bounds what a small file may turn into, when it is made and when it is read.
func TestBomb(t *testing.T) {
	bomb := bytes.NewReader(make([]byte, 64<<20))
	var err error
	for _, err = range pack(context.Background(), io.Discard, bomb, bomb.Size(), Options{}) {
	}
	if !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}

	content := make([]byte, MaxFrameSize)
	encoder, err := newEncoder(1)
	if err != nil {
		t.Fatal(err)
	}
	frame := encoder.EncodeAll(content, nil)
	var bombs table
	var packed []byte
	for range 100 {
		bombs.add(uint32(len(frame)), MaxFrameSize, binary.LittleEndian.Uint32(frame[len(frame)-4:]))
		packed = append(packed, frame...)
	}
	end, err := bombs.encode()
	if err != nil {
		t.Fatal(err)
	}
	packed = append(packed, end...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = unpackBytes(packed)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, format.ErrUnsupported) {
		t.Errorf("%v, want ErrUnsupported", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8*uint64(len(packed))+1<<20 {
		t.Errorf("%d bytes are allocated to refuse %d", used, len(packed))
	}
}

// TestDamagedContents packs .tti files that are no good, which Pack would refuse.
func TestDamagedContents(t *testing.T) {
	path, content := newTTI(t, 4, 100, 2)
	directory := t.TempDir()
	target := filepath.Join(directory, "out.tti")
	if err := os.WriteFile(target, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(content); i += 7 {
		content[i] ^= 4
		if err := os.WriteFile(path, content, 0o666); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			if err := Pack(context.Background(), path, target, Options{NoSync: true}); err == nil {
				t.Errorf("a file with byte %d changed is packed", i)
			}
		}
		if err := os.WriteFile(path, packBytes(t, content, Options{frame: 300}), 0o666); err != nil {
			t.Fatal(err)
		}
		err := Unpack(context.Background(), path, target, Options{NoSync: true})
		if err == nil {
			t.Fatalf("a file with byte %d changed is unpacked", i)
		}
		checkReason(t, err)
		content[i] ^= 4
	}
	if got := readFile(t, target); string(got) != "old" || listing(t, directory) != "out.tti" {
		t.Errorf("the old file is %q in %q", got, listing(t, directory))
	}
}

// TestSourceChanges changes a byte of the source at every moment of its being packed. What comes out,
// if anything, must be whole.
func TestSourceChanges(t *testing.T) {
	path, content := newTTI(t, 4, 3000)
	target := filepath.Join(t.TempDir(), "out.tti.zst")
	source, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	put := func(at int, b byte) {
		if _, err := source.WriteAt([]byte{b}, int64(at)); err != nil {
			t.Error(err)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	refused, moments := 0, len(content)/200
	for moment := range moments {
		at, step := random.IntN(len(content)), 0
		o := Options{NoSync: true, Workers: 1, frame: 200, Progress: func(int64, int64) {
			if step == moment {
				put(at, content[at]^1)
			}
			step++
		}}
		if err := Pack(context.Background(), path, target, o); err != nil {
			checkReason(t, err)
			refused++
			if got := listing(t, filepath.Dir(target)); got != "" {
				t.Errorf("left behind: %q", got)
			}
		} else {
			if got, err := unpackBytes(readFile(t, target)); err != nil || !bytes.Equal(got, content) {
				t.Errorf("byte %d changed at step %d: what has been packed is not whole: %v", at, moment, err)
			}
			os.Remove(target)
		}
		put(at, content[at])
	}
	t.Logf("%d of %d changes came in time to be seen", refused, moments)
	if refused == 0 || refused == moments {
		t.Error("all or none: nothing has been tried")
	}
}

func TestRefusals(t *testing.T) {
	path, content := newTTI(t, 4, 100)
	directory := t.TempDir()
	packed, twice, other := filepath.Join(directory, "p"), filepath.Join(directory, "pp"), filepath.Join(directory, "o")
	if err := Pack(context.Background(), path, packed, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(twice, packBytes(t, readFile(t, packed), Options{}), 0o666); err != nil {
		t.Fatal(err)
	}
	background := context.Background()
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"pack onto itself":      {Pack(background, path, path, Options{}), "same file"},
		"unpack onto itself":    {Unpack(background, packed, packed, Options{}), "same file"},
		"pack a packed one":     {Pack(background, packed, other, Options{}), "file is packed"},
		"unpack one not packed": {Unpack(background, path, other, Options{}), "not a tti file: it begins with 89 54 54 49, want 28 b5 2f fd of a packed one"},
		"packed twice":          {Unpack(background, twice, other, Options{}), "file is packed twice"},
		"pack nothing":          {Pack(background, other, packed, Options{}), "no such file"},
		"unpack nothing":        {Unpack(background, other, packed, Options{}), "no such file"},
		"pack a directory":      {Pack(background, directory, other, Options{}), "is a directory"},
		"unpack a directory":    {Unpack(background, directory, other, Options{}), "is a directory"},
		"into no directory":     {Unpack(background, packed, filepath.Join(other, "x"), Options{}), "no"},
	} {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, test.err, test.want)
		}
	}
	if got := listing(t, directory); got != "p pp" {
		t.Errorf("left behind: %q", got)
	}
	if !bytes.Equal(readFile(t, path), content) {
		t.Error("the source has changed")
	}
}

func TestCancelled(t *testing.T) {
	path, _ := newTTI(t, 4, 5*frameSize)
	directory := t.TempDir()
	packed, target := filepath.Join(directory, "p"), filepath.Join(directory, "t")
	stopping := func(f func(context.Context, Options) error) {
		t.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		if err := f(ctx, Options{Progress: func(int64, int64) { cancel() }}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
		if got := listing(t, directory); got != "" && got != "p" {
			t.Errorf("left behind: %q", got)
		}
	}
	stopping(func(ctx context.Context, o Options) error { return Pack(ctx, path, packed, o) })
	if err := Pack(context.Background(), path, packed, Options{}); err != nil {
		t.Fatal(err)
	}
	stopping(func(ctx context.Context, o Options) error { return Unpack(ctx, packed, target, o) })
	f, err := Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stopping(func(ctx context.Context, o Options) error { return f.Verify(ctx, o.Progress) })
}

// TestVerifyMemory verifies a file of many frames in the memory of a few.
func TestVerifyMemory(t *testing.T) {
	_, content := newTTI(t, 4, 8<<20)
	packed := packBytes(t, content, Options{})
	f, err := newFile(bytes.NewReader(packed), int64(len(packed)), Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.verify(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := f.verify(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 12<<20 {
		t.Errorf("%d bytes are allocated to verify %d", used, len(content))
	}
}

// TestKilled kills a process that unpacks, at many moments, and finds the old or the new file,
// whole, and nothing else after the next time.
func TestKilled(t *testing.T) {
	sources, target := t.TempDir(), filepath.Join(t.TempDir(), "out.tti")
	var versions [2][]byte
	for i := range versions {
		_, versions[i] = newTTI(t, uint64(i), 200_000)
		packed := packBytes(t, versions[i], Options{frame: 50_000})
		if err := os.WriteFile(filepath.Join(sources, fmt.Sprint(i)), packed, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	unpack := func(target string, i int) error {
		return Unpack(context.Background(), filepath.Join(sources, fmt.Sprint(i)), target, Options{NoSync: true})
	}
	if err := unpack(target, 0); err != nil {
		t.Fatal(err)
	}
	killtest.Run(t, target, 20, func(target string) error {
		return errors.Join(unpack(target, 1), unpack(target, 0))
	}, func(kill int) {
		if got := readFile(t, target); !bytes.Equal(got, versions[0]) && !bytes.Equal(got, versions[1]) {
			t.Fatalf("after kill %d the target is neither old nor new", kill)
		}
		if err := unpack(target, 0); err != nil {
			t.Fatal(err)
		}
		if got := listing(t, filepath.Dir(target)); got != "out.tti" {
			t.Fatalf("after the next time the directory holds %q", got)
		}
	})
}

// FuzzUnpack unpacks arbitrary bytes, which must do no harm; with wrap they are first packed, and
// then the packed file must be judged as the file is.
func FuzzUnpack(f *testing.F) {
	_, content := newTTI(f, 4, 100)
	f.Add(packBytes(f, content, Options{}), false)
	f.Add(packBytes(f, content, Options{frame: 100}), false)
	f.Add(content, true)
	f.Fuzz(func(t *testing.T, data []byte, wrap bool) {
		packed := data
		if wrap {
			if len(data) == 0 {
				return
			}
			packed = packBytes(t, data, Options{Workers: 1, frame: int64(len(data))/3 + 1})
		}
		got, err := unpackBytes(packed)
		if err != nil {
			checkReason(t, err)
		}
		file := data
		if !wrap {
			file = got
		}
		if wrap || err == nil {
			whole, wholeErr := format.FromBytes(file)
			if wholeErr == nil {
				wholeErr = whole.Verify(context.Background(), nil)
			}
			if (err == nil) != (wholeErr == nil) {
				t.Fatalf("unpacked: %v, as a file: %v", err, wholeErr)
			}
		}
		if wrap && err == nil && !bytes.Equal(got, data) {
			t.Fatal("unpacked differs from what was packed")
		}
	})
}
