// Command mca tells how many cycles the arm64 kernels take by llvm-mca's models of CPUs, from the machine code in a compiled
// program. It needs GNU's binutils for aarch64 and llvm-mca.
//
//	GOARCH=arm64 go test -c -o kernels.test ./kernels
//	go run -C kernels/asm ./mca -program ../../kernels.test -mca llvm-mca-22
//
// What it prints is a model: memory is taken to answer from the first-level cache, and branches to be predicted.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// A cpu is one that llvm-mca models. What it decodes in a cycle is not what the models say: Arm's optimization guides have
// 4 for Neoverse N1 and 8 for V1 and V2.
type cpu struct {
	name     string
	dispatch int
	has      string // extensions, as a pattern for the names of machines
}

var cpus = []cpu{
	{"cortex-a57", 3, `NEON`}, // llvm-mca knows the Cortex-A72 by the figures of this one
	{"neoverse-n1", 4, `NEON|DotProd`},
	{"neoverse-v2", 8, `NEON|DotProd|I8MM`},
}

var (
	program = flag.String("program", "kernels.test", "`file` of a program for arm64 with the kernels")
	mca     = flag.String("mca", "llvm-mca", "`name` of llvm-mca")
	pattern = flag.String("run", "x[1-9]", "`pattern` of functions")
)

func main() {
	flag.Parse()
	if err := report(); err != nil {
		log.Fatal(err)
	}
}

func report() error {
	functions, err := disassemble(*program)
	if err != nil {
		return err
	}
	wanted, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	fmt.Printf("%-24s %6s", "loop", "instr.")
	for _, c := range cpus {
		fmt.Printf(" %12s", c.name)
	}
	fmt.Println("   cycles; of products: cycles for a line of a panel, and multiply-adds per cycle")
	for _, f := range functions {
		if !wanted.MatchString(f.name) {
			continue
		}
		for i, loop := range f.loops() {
			fmt.Printf("%-24s %6d", fmt.Sprintf("%s/%d", f.name, i+1), len(loop))
			for _, c := range cpus {
				if !regexp.MustCompile(`(` + c.has + `)(x|$)`).MatchString(f.name) {
					fmt.Printf(" %12s", "")
					continue
				}
				cycles, err := c.cycles(loop)
				if err != nil {
					return fmt.Errorf("%s: %w", f.name, err)
				}
				fmt.Printf(" %12s", figures(f.name, loop, cycles))
			}
			fmt.Println()
		}
	}
	return nil
}

var productName = regexp.MustCompile(`^(f32|f16|int8|int4)[A-Za-z0-9]*x(\d)x(\d)$`)

// figures returns the cycles of one time through a loop and, of a matrix product, the cycles for a line of a panel and the
// multiply-adds in a cycle.
func figures(name string, loop []string, cycles float64) string {
	m := productName.FindStringSubmatch(name)
	if m == nil {
		return fmt.Sprintf("%.1f", cycles)
	}
	panels, _ := strconv.Atoi(m[2])
	tokens, _ := strconv.Atoi(m[3])
	lines := map[string]int{"f32": 4, "f16": 2, "int8": 16, "int4": 8}[m[1]] // of a panel in a step
	columns := map[string]int{"f32": 1, "f16": 2, "int8": 4, "int4": 8}[m[1]]
	perLine := cycles / float64(panels*lines)
	return fmt.Sprintf("%.2f %5.1f", perLine, float64(16*columns*tokens)/perLine)
}

// An instruction is one line of a disassembly.
type instruction struct {
	address int
	text    string
}

type function struct {
	name         string
	instructions []instruction
}

// disassemble returns the functions of package kernels that are written in assembly.
func disassemble(file string) ([]function, error) {
	output, err := exec.Command("aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", file).Output()
	if err != nil {
		return nil, fmt.Errorf("disassemble %s: %w", file, err)
	}
	head := regexp.MustCompile(`^[0-9a-f]+ <.*/kernels\.(\w+)\.abi0>:$`)
	line := regexp.MustCompile(`^ *([0-9a-f]+):\t(.*)`)
	var functions []function
	inside := false
	for text := range strings.Lines(string(output)) {
		text = strings.TrimRight(text, "\n")
		if strings.HasSuffix(text, ">:") {
			m := head.FindStringSubmatch(text)
			if inside = m != nil; inside {
				functions = append(functions, function{name: m[1]})
			}
			continue
		}
		m := line.FindStringSubmatch(text)
		if !inside || m == nil {
			continue
		}
		address, err := strconv.ParseInt(m[1], 16, 64)
		if err != nil {
			return nil, err
		}
		f := &functions[len(functions)-1]
		words, _, _ := strings.Cut(m[2], "//")
		f.instructions = append(f.instructions, instruction{int(address), strings.TrimSpace(words)})
	}
	return functions, nil
}

// loops returns the innermost loops of a function: what lies between a conditional jump backwards and where it goes, with no
// other jump inside.
func (f function) loops() [][]string {
	jump := regexp.MustCompile(`^(b\.\w+|b|cbn?z|tbn?z)\s`)
	target := regexp.MustCompile(`([0-9a-f]+) <`)
	var loops [][]string
	for i, end := range f.instructions {
		if !jump.MatchString(end.text) {
			continue
		}
		m := target.FindStringSubmatch(end.text)
		if m == nil {
			continue
		}
		to, _ := strconv.ParseInt(m[1], 16, 64)
		var body []string
		inner := true
		for _, other := range f.instructions[:i] {
			if other.address >= int(to) {
				inner = inner && !jump.MatchString(other.text)
				body = append(body, other.text)
			}
		}
		if len(body) > 3 && inner && int(to) < end.address {
			loops = append(loops, body)
		}
	}
	return loops
}

// cycles returns what one time through a loop takes.
func (c cpu) cycles(loop []string) (float64, error) {
	const times = 100
	command := exec.Command(*mca, "-mtriple=aarch64", "-mcpu="+c.name, "-mattr=+dotprod,+i8mm", fmt.Sprintf("-dispatch=%d", c.dispatch),
		fmt.Sprintf("-iterations=%d", times))
	command.Stdin = strings.NewReader(strings.Join(loop, "\n") + "\n")
	var failure bytes.Buffer
	command.Stderr = &failure
	output, err := command.Output()
	if err != nil {
		return 0, fmt.Errorf("llvm-mca: %w: %.500s", err, failure.String())
	}
	m := regexp.MustCompile(`Total Cycles: +(\d+)`).FindSubmatch(output)
	if m == nil {
		return 0, fmt.Errorf("llvm-mca printed no cycles")
	}
	total, err := strconv.Atoi(string(m[1]))
	return float64(total) / times, err
}
