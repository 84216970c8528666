package jinja2

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// translator turns a template into one of the engine's language in which the engine decides nothing but where control
// goes and what a name is: text becomes an output, and every operation on values a call of one of ours (operations).
// So white space, precedence, scopes, the meaning of operators, filters, tests and methods, and what all of it costs,
// are as this package says.
type translator struct {
	pieces []piece
	at     int
	out    *strings.Builder

	tokens []token // of the tag at hand
	token  int
	line   int // of the tag at hand

	nesting      int               // of blocks and expressions
	loops        int               // around the tag at hand, up to a macro's or call's body
	assigned     []map[string]bool // names set in each loop or macro around, outermost first
	substitution map[string]string // for names in the condition of a loop over tuples
	temporaries  int               // names that we made up
	macros       parameterLists
}

// parameterLists are the parameters of macros by their names in the engine's language. Of a name that has several lists it
// holds nil: which macro is meant is known when it is called only.
type parameterLists map[string][]string

// maxNesting limits how deep blocks and expressions nest; the largest templates known nest 25 deep.
const maxNesting = 100

// syntaxError is what translation panics with. It does not leave the package.
type syntaxError struct{ error }

func (t *translator) failf(format string, values ...any) {
	panic(syntaxError{fmt.Errorf("line %d: "+format, append([]any{t.line}, values...)...)})
}

func (t *translator) enter() {
	if t.nesting++; t.nesting > maxNesting {
		t.failf("nested more than %d deep", maxNesting)
	}
}

func (t *translator) leave() { t.nesting-- }

// translate returns a template in the engine's language, and its macros.
func translate(source string) (translated string, macros parameterLists, err error) {
	pieces, err := scan(source)
	if err != nil {
		return "", nil, err
	}
	t := translator{pieces: pieces, line: 1, out: new(strings.Builder), macros: parameterLists{}}
	defer func() {
		switch caught := recover().(type) {
		case nil:
		case syntaxError:
			err = caught.error
		default:
			panic(caught)
		}
	}()
	t.body()
	return t.out.String(), t.macros, nil
}

func (t *translator) write(format string, values ...any) { fmt.Fprintf(t.out, format, values...) }

// variable is what a name is called in the engine's language. The prefix keeps a template's names apart from our
// operations and from what the engine knows; two names are set by the engine itself.
func variable(name string) string {
	if name == "loop" || name == "caller" {
		return name
	}
	return "v_" + name
}

func (t *translator) temporary() string {
	t.temporaries++
	return fmt.Sprintf("t%d", t.temporaries)
}

// assign notes that a name is set, for the loop around.
func (t *translator) assign(name string) {
	if n := len(t.assigned); n > 0 {
		t.assigned[n-1][variable(name)] = true
	}
}

// body translates up to a statement of one of these names, which it enters and returns; without names up to the end.
func (t *translator) body(stops ...string) string {
	t.enter()
	defer t.leave()
	start := t.line
	for t.at < len(t.pieces) {
		p := t.pieces[t.at]
		t.at++
		t.line = p.line
		if p.kind == literal {
			t.write("{{ out(%d, %s) }}", t.line, quote(p.body))
			continue
		}
		tokens, err := lex(p.body)
		if err != nil {
			t.failf("%w", err)
		}
		t.tokens, t.token = tokens, 0
		if p.kind == expression {
			t.write("{{ out(%d, %s) }}", t.line, t.tuple(t.conditional).text)
			t.finish()
			continue
		}
		keyword := t.expect(nameToken, "a statement")
		if slices.Contains(stops, keyword) {
			return keyword
		}
		translateStatement, known := statements[keyword]
		if !known {
			t.failf("%q is no statement here", keyword)
		}
		translateStatement(t)
	}
	if len(stops) > 0 {
		t.line = start
		t.failf("a block without %s", stops[len(stops)-1])
	}
	return ""
}

var statements map[string]func(*translator)

func init() {
	statements = map[string]func(*translator){
		"if":         (*translator).ifStatement,
		"for":        (*translator).forStatement,
		"set":        (*translator).setStatement,
		"macro":      (*translator).macroStatement,
		"call":       (*translator).callStatement,
		"filter":     (*translator).filterStatement,
		"generation": (*translator).generationStatement,
		"with":       (*translator).withStatement,
		"print":      (*translator).printStatement,
		"break":      func(t *translator) { t.jump("break") },
		"continue":   func(t *translator) { t.jump("continue") },
	}
}

func (t *translator) jump(keyword string) {
	if t.loops == 0 {
		t.failf("%s outside of a loop", keyword)
	}
	t.finish()
	t.write("{%% %s %%}", keyword)
}

func (t *translator) printStatement() {
	t.write("{{ out(%d, %s) }}", t.line, t.tuple(t.conditional).text)
	t.finish()
}

// withStatement translates a block with names of its own: what it sets is put back behind it.
func (t *translator) withStatement() {
	var targets, values []string
	for t.peek().kind != endToken {
		targets = append(targets, t.expect(nameToken, "a name"))
		t.require("=")
		values = append(values, t.conditional().text)
		if !t.accept(",") {
			t.finish()
		}
	}
	body := t.contained(targets, "endwith")
	t.finish()
	t.out.WriteString(body.save)
	given := ""
	for i, target := range targets {
		value := t.temporary()
		t.write("{%% set %s = %s %%}", value, values[i])
		given += fmt.Sprintf("{%% set %s = %s %%}", variable(target), value)
	}
	t.out.WriteString(given + body.text + body.restore)
}

// block is a body that sets names for itself only.
type block struct{ save, text, restore, keyword string }

// contained translates a body in the same loop and puts back what it sets, the targets too: the engine would not.
func (t *translator) contained(targets []string, stops ...string) block {
	text, set, keyword := t.scope(t.loops, stops...)
	for _, target := range targets {
		set[variable(target)] = true
	}
	b := block{text: text, keyword: keyword}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		kept := t.temporary()
		b.save += fmt.Sprintf("{%% set %s = %s %%}", kept, name)
		b.restore += fmt.Sprintf("{%% set %s = %s %%}", name, kept)
		if n := len(t.assigned); n > 0 {
			t.assigned[n-1][name] = true // for a turn of a loop that ends inside
		}
	}
	return b
}

func (t *translator) ifStatement() {
	keyword := "if"
	for keyword != "endif" {
		if keyword == "else" {
			t.finish()
			t.write("{%% else %%}")
			keyword = t.body("endif")
			continue
		}
		condition := t.tuple(t.or)
		t.finish()
		t.write("{%% %s %s %%}", keyword, condition.text)
		keyword = t.body("elif", "else", "endif")
	}
	t.finish()
	t.write("{%% endif %%}")
}

// forStatement translates a loop. What its body sets is undone before each turn, which the engine does not do.
func (t *translator) forStatement() {
	targets := t.names("in")
	list := t.tuple(t.or)
	item := variable(targets[0])
	if len(targets) > 1 {
		item = t.temporary()
	}
	head := fmt.Sprintf("{%% for %s in each(%d, %s)", item, t.line, list.text)
	if t.acceptName("if") {
		if len(targets) > 1 {
			t.substitution = map[string]string{}
			for i, target := range targets {
				t.substitution[target] = fmt.Sprintf("item(%d, unpack(%d, %s, %d), %d)", t.line, t.line, item, len(targets), i)
			}
		}
		head += " if " + t.conditional().text
		t.substitution = nil
	}
	if t.acceptName("recursive") {
		t.failf("recursive loops are not supported")
	}
	t.finish()
	head += " %}"
	if len(targets) > 1 {
		values := t.temporary()
		head += fmt.Sprintf("{%% set %s = unpack(%d, %s, %d) %%}", values, t.line, item, len(targets))
		for i, target := range targets {
			head += fmt.Sprintf("{%% set %s = item(%d, %s, %d) %%}", variable(target), t.line, values, i)
		}
	}

	turn, set, keyword := t.scope(1, "else", "endfor")
	for _, target := range targets {
		delete(set, variable(target))
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		kept := t.temporary()
		t.write("{%% set %s = %s %%}", kept, name)
		head += fmt.Sprintf("{%% set %s = %s %%}", name, kept)
	}
	t.out.WriteString(head + turn)
	if keyword == "else" {
		t.finish()
		other := t.contained(nil, "endfor")
		t.write("{%% else %%}%s%s%s", other.save, other.text, other.restore)
	}
	t.finish()
	t.write("{%% endfor %%}")
}

// scope translates a body with names of its own: of a loop (loops is 1) or of a macro or call (0). It returns the text, the
// names that it sets, and the statement that ended it.
func (t *translator) scope(loops int, stops ...string) (text string, set map[string]bool, keyword string) {
	out, around := t.out, t.loops
	set = map[string]bool{}
	t.out, t.loops = new(strings.Builder), loops
	t.assigned = append(t.assigned, set)
	keyword = t.body(stops...)
	t.assigned = t.assigned[:len(t.assigned)-1]
	text = t.out.String()
	t.out, t.loops = out, around
	return text, set, keyword
}

// names reads names with commas between, perhaps in parentheses, and the word that ends them.
func (t *translator) names(until string) []string {
	parentheses := t.accept("(")
	list := []string{t.expect(nameToken, "a name")}
	for t.accept(",") {
		if t.peek().kind != nameToken || t.peek().value == until {
			break
		}
		list = append(list, t.expect(nameToken, "a name"))
	}
	if parentheses {
		t.require(")")
	}
	if until == "=" {
		t.require("=")
	} else if !t.acceptName(until) {
		t.failf("want %q, not %v", until, t.peek())
	}
	return list
}

func (t *translator) setStatement() {
	first := t.peek()
	if next := t.tokens[t.token+1]; first.kind == nameToken && next == (token{operatorToken, "."}) {
		t.token += 2
		attribute := t.expect(nameToken, "an attribute")
		t.require("=")
		value := t.tuple(t.conditional)
		t.finish()
		t.write("{{ assign(%d, %s, %s, %s) }}", t.line, variable(first.value), quote(attribute), value.text)
		return
	}
	if slices.Contains(t.tokens, token{operatorToken, "="}) && !t.filtersNext() {
		targets := t.names("=")
		value := t.tuple(t.conditional)
		t.finish()
		if len(targets) == 1 {
			t.assign(targets[0])
			t.write("{%% set %s = %s %%}", variable(targets[0]), value.text)
			return
		}
		values := t.temporary()
		t.write("{%% set %s = unpack(%d, %s, %d) %%}", values, t.line, value.text, len(targets))
		for i, target := range targets {
			t.assign(target)
			t.write("{%% set %s = item(%d, %s, %d) %%}", variable(target), t.line, values, i)
		}
		return
	}
	target := t.expect(nameToken, "a name")
	t.assign(target)
	t.captured(variable(target), "endset")
}

// filtersNext tells whether a set statement is of the form {% set name | filters %}.
func (t *translator) filtersNext() bool { return t.tokens[t.token+1] == (token{operatorToken, "|"}) }

// captured translates filters, and a block that is captured in a variable and goes through them.
func (t *translator) captured(target, stop string) {
	captured := t.temporary()
	value := code{captured, 1}
	for t.accept("|") {
		value = t.filter(value)
	}
	t.finish()
	body := t.contained(nil, stop)
	t.finish()
	t.write("%s{%% set %s %%}%s{%% endset %%}%s", body.save, captured, body.text, body.restore)
	t.write("{%% set %s = %s %%}", target, value.text)
}

func (t *translator) filterStatement() {
	target := t.temporary()
	t.tokens = slices.Insert(t.tokens, t.token, token{operatorToken, "|"})
	t.captured(target, "endfilter")
	t.write("{{ out(%d, %s) }}", t.line, target)
}

// macroStatement translates a macro. The engine gives a parameter that is left out no value; defaults are filled in by
// the macro's body, in which "argument" tells a value that is undefined from none.
func (t *translator) macroStatement() {
	macro := t.expect(nameToken, "a macro's name")
	t.assign(macro)
	t.require("(")
	parameters, prologue := t.parameters()
	t.finish()
	if known, found := t.macros[variable(macro)]; !found || slices.Equal(known, parameters) {
		t.macros[variable(macro)] = parameters
	} else {
		t.macros[variable(macro)] = nil
	}
	body, _, _ := t.scope(0, "endmacro")
	t.finish()
	t.write("{%% macro %s(%s) %%}%s%s{%% endmacro %%}", variable(macro), strings.Join(parameters, ", "), prologue, body)
}

// parameters reads parameters up to the closing parenthesis.
func (t *translator) parameters() (names []string, prologue string) {
	names = []string{}
	for !t.accept(")") {
		parameter := variable(t.expect(nameToken, "a parameter"))
		names = append(names, parameter)
		value := fmt.Sprintf("argument(%d, %s)", t.line, parameter)
		if t.accept("=") {
			value = fmt.Sprintf("(argument(%d, %s) if %s is defined else %s)", t.line, parameter, parameter, t.conditional().text)
		}
		prologue += fmt.Sprintf("{%% set %s = %s %%}", parameter, value)
		if !t.accept(",") {
			t.require(")")
			break
		}
	}
	return names, prologue
}

// callStatement translates a call of a macro with a block, which the macro calls "caller".
func (t *translator) callStatement() {
	var parameters []string
	prologue := ""
	if t.accept("(") {
		parameters, prologue = t.parameters()
	}
	line := t.line
	call := t.conditional().text
	if !strings.HasPrefix(call, "call(") {
		t.failf("call of what is no call")
	}
	t.finish()
	body, _, _ := t.scope(0, "endcall")
	t.finish()
	// The engine writes what the call gives by itself, so the block is the content of a variable first.
	result := t.temporary()
	t.write("{%% set %s %%}{%% call(%s) %s %%}%s%s{%% endcall %%}{%% endset %%}{{ out(%d, %s) }}",
		result, strings.Join(parameters, ", "), call, prologue, body, line, result)
}

func (t *translator) generationStatement() {
	t.finish()
	body := t.contained(nil, "endgeneration")
	t.finish()
	t.out.WriteString(body.save + body.text + body.restore)
}
