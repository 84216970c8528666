package runtime

import (
	"context"
	"fmt"
	"github.com/tti-llm/tti/convert"
	"github.com/tti-llm/tti/quant"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func exp(x float64) float64 { return math.Exp(x) }
func TestZZ(t *testing.T) {
	text, _ := os.ReadFile("../testdata/golden/fable-calib.txt")
	dir := "/tmp/proto"
	ref := filepath.Join(dir, "ref.tti")
	if _, err := os.Stat(ref); err != nil {
		convert.Convert(context.Background(), "../testdata/fable", ref, convert.Options{Mode: convert.F32})
	}
	rm := open(t, ref)
	ids, _ := rm.Tokenizer().Encode(string(text))
	half := len(ids) * 2 / 3 / 512 * 512
	train, test := ids[:half], ids[half:]
	if os.Getenv("ZZ_FULL") != "" {
		train = ids
		text, _ := os.ReadFile("../testdata/golden/fable-eval.txt")
		test, _ = rm.Tokenizer().Encode(string(text))
	}
	if n, _ := strconv.Atoi(os.Getenv("ZZ_TEST")); n > 0 {
		test = test[:n]
	}
	if n, _ := strconv.Atoi(os.Getenv("ZZ_TRAIN")); n > 0 {
		train = train[:n]
	}
	fmt.Println("train", len(train), "test", len(test))
	var refs [][]float32
	predictions(context.Background(), []*Model{rm}, test, nil, func(p int, l [][]float32) { refs = append(refs, append([]float32(nil), l[0]...)) })
	quant0, convert0 := quant.K, convert.CK
	for _, line := range strings.Split(os.Getenv("ZZ"), ";") {
		quant.K, convert.CK = quant0, convert0
		clear(convert.CX)
		o := convert.Options{Calibrate: train}
		for _, kv := range strings.Fields(line) {
			k, v, _ := strings.Cut(kv, "=")
			f, _ := strconv.ParseFloat(v, 64)
			switch k {
			case "mode":
				switch v {
				case "int8":
					o.Mode = convert.Int8
				default:
					o.Mode = convert.Int4
					o.Int4 = convert.Scope(v)
				}
			case "cal":
				if f == 0 {
					o.Calibrate = nil
				}
			case "damp":
				quant.K.Damping = f
			case "order":
				quant.K.Order = int(f)
			case "sweeps":
				quant.K.Sweeps = int(f)
			case "trials":
				quant.K.Trials = int(f)
			case "gptq":
				quant.K.GPTQ = f != 0
			case "int8sweep":
				quant.K.Int8Sweep = f != 0
			case "correct":
				convert.CK.Correct = f != 0
			case "target":
				convert.CK.Target = f
			case "residual":
				convert.CK.Residual = f
			case "reg":
				convert.CK.TargetReg = f
			case "headdamp":
				convert.CK.HeadDamp = f
			case "head":
				convert.CK.HeadSolve = f != 0
			case "int8":
				convert.CK.Int8Solve = f != 0
			case "v":
				convert.CK.Verbose = f != 0
			default:
				convert.CX[k] = f
			}
		}
		o.NoSync = true
		out := filepath.Join(dir, fmt.Sprintf("zz%d.tti", os.Getpid()))
		t0 := time.Now()
		if err := convert.Convert(context.Background(), "../testdata/fable", out, o); err != nil {
			t.Fatal(err)
		}
		t1 := time.Now()
		m, err := Open(out)
		if err != nil {
			t.Fatal(err)
		}
		var kl, nr, nm, agree float64
		i := 0
		predictions(context.Background(), []*Model{m}, test, nil, func(p int, l [][]float32) {
			d := deviation(refs[i], l[0], test[p])
			kl += d.Divergence
			nr -= logProbability(refs[i], test[p])
			nm -= logProbability(l[0], test[p])
			if d.ReferenceBest == d.ModelBest {
				agree++
			}
			i++
		})
		n := float64(i)
		m.Close()
		fmt.Printf("RESULT %-50s | rise %+.4f%% KL %.6f top1 %.4f | %.1fs %.1fs\n", line, 100*(exp(nm/n-nr/n)-1), kl/n, agree/n, t1.Sub(t0).Seconds(), time.Since(t1).Seconds())
		os.Remove(out)
	}
}
