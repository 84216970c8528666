package jinja2

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// code is an expression in the engine's language, and how deep it nests.
type code struct {
	text  string
	depth int
}

// operation is a call of one of ours; operands are expressions.
func (t *translator) operation(operation string, operands ...code) code {
	var b strings.Builder
	fmt.Fprintf(&b, "%s(%d", operation, t.line)
	depth := 0
	for _, o := range operands {
		b.WriteString(", ")
		b.WriteString(o.text)
		depth = max(depth, o.depth)
	}
	b.WriteString(")")
	return t.nested(b.String(), depth)
}

// native is an operation of the engine's: and, or.
func (t *translator) native(operator string, operands []code) code {
	// The engine nests as deep as there are operands.
	depth, texts := len(operands)/10, make([]string, len(operands))
	for i, o := range operands {
		texts[i], depth = o.text, max(depth, o.depth)
	}
	return t.nested("("+strings.Join(texts, operator)+")", depth)
}

func (t *translator) nested(text string, depth int) code {
	if depth >= maxNesting {
		t.failf("an expression nested more than %d deep", maxNesting)
	}
	return code{text, depth + 1}
}

// quote writes a string in the engine's language, which knows two escapes that we need.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func quoted(s string) code { return code{quote(s), 1} }

func (t *translator) peek() token { return t.tokens[t.token] }

func (t *translator) advance() token {
	next := t.tokens[t.token]
	if next.kind != endToken {
		t.token++
	}
	return next
}

func (t *translator) accept(o string) bool {
	found := t.peek() == (token{operatorToken, o})
	if found {
		t.token++
	}
	return found
}

func (t *translator) acceptName(n string) bool {
	found := t.peek() == (token{nameToken, n})
	if found {
		t.token++
	}
	return found
}

func (t *translator) require(o string) {
	if !t.accept(o) {
		t.failf("want %q, not %v", o, t.peek())
	}
}

func (t *translator) expect(kind tokenKind, what string) string {
	next := t.advance()
	if next.kind != kind {
		t.failf("want %s, not %v", what, next)
	}
	return next.value
}

func (t *translator) finish() {
	if next := t.peek(); next.kind != endToken {
		t.failf("%v is too much", next)
	}
}

// tuple reads expressions with commas between; one without a comma is itself.
func (t *translator) tuple(element func() code) code {
	first := element()
	if t.peek() != (token{operatorToken, ","}) {
		return first
	}
	list := []code{first}
	for t.accept(",") {
		if next := t.peek(); next.kind == endToken || next == (token{operatorToken, ")"}) || next == (token{operatorToken, "="}) {
			break
		}
		list = append(list, element())
	}
	return t.operation("tuple", list...)
}

// conditional reads "a if b else c".
func (t *translator) conditional() code {
	t.enter()
	defer t.leave()
	value := t.or()
	for t.acceptName("if") {
		condition := t.or()
		text, depth := value.text+" if "+condition.text, max(value.depth, condition.depth)
		if t.acceptName("else") {
			other := t.conditional()
			text, depth = text+" else "+other.text, max(depth, other.depth)
		}
		value = t.nested("("+text+")", depth)
	}
	return value
}

func (t *translator) or() code  { return t.logic("or", t.and) }
func (t *translator) and() code { return t.logic("and", t.not) }

func (t *translator) logic(word string, operand func() code) code {
	list := []code{operand()}
	for t.acceptName(word) {
		list = append(list, operand())
	}
	if len(list) == 1 {
		return list[0]
	}
	return t.native(" "+word+" ", list)
}

func (t *translator) not() code {
	if t.acceptName("not") {
		t.enter()
		defer t.leave()
		value := t.not()
		return t.nested("(not "+value.text+")", value.depth)
	}
	return t.comparison()
}

var comparisons = map[string]string{
	"==": "equal", "!=": "unequal", "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal",
}

// comparison reads a chain of comparisons: "a < b < c" is "a < b and b < c".
func (t *translator) comparison() code {
	left := t.sum()
	var chain []code
	for {
		compare, negated := comparisons[t.peek().value], false
		switch next := t.peek(); {
		case next.kind == operatorToken && compare != "":
			t.token++
		case t.acceptName("in"):
			compare = "contained"
		case next == token{nameToken, "not"} && t.tokens[t.token+1] == token{nameToken, "in"}:
			t.token += 2
			compare, negated = "contained", true
		default:
			switch len(chain) {
			case 0:
				return left
			case 1:
				return chain[0]
			}
			return t.native(" and ", chain)
		}
		right := t.sum()
		link := t.operation(compare, left, right)
		if negated {
			link = t.nested("(not "+link.text+")", link.depth)
		}
		chain, left = append(chain, link), right
	}
}

// sum reads + and -, which bind looser than ~. A run of the same operator is one operation.
func (t *translator) sum() code {
	return t.chain(t.concatenation, map[string]string{"+": "add", "-": "subtract"})
}

func (t *translator) concatenation() code {
	return t.chain(t.product, map[string]string{"~": "concatenate"})
}

func (t *translator) product() code {
	return t.chain(t.power, map[string]string{"*": "multiply", "/": "divide", "//": "floor_divide", "%": "modulo"})
}

func (t *translator) power() code {
	return t.chain(func() code { return t.unary(true) }, map[string]string{"**": "power"})
}

func (t *translator) chain(operand func() code, names map[string]string) code {
	list, operation := []code{operand()}, ""
	for t.peek().kind == operatorToken {
		next, found := names[t.peek().value]
		if !found {
			break
		}
		t.token++
		if operation != "" && next != operation {
			list = []code{t.operation(operation, list...)}
		}
		operation = next
		list = append(list, operand())
	}
	if operation == "" {
		return list[0]
	}
	return t.operation(operation, list...)
}

// unary reads signs, which bind tighter than filters, and what may follow a value.
func (t *translator) unary(filters bool) code {
	t.enter()
	defer t.leave()
	var value code
	switch {
	case t.accept("-"):
		value = t.operation("negate", t.unary(false))
	case t.accept("+"):
		value = t.operation("positive", t.unary(false))
	default:
		value = t.primary()
	}
	value = t.postfix(value)
	for filters {
		switch {
		case t.accept("|"):
			value = t.filter(value)
		case t.acceptName("is"):
			value = t.test(value)
		case t.peek() == token{operatorToken, "("}:
			value = t.postfix(value)
		default:
			return value
		}
	}
	return value
}

var constants = map[string]string{
	"true": "true", "True": "true", "false": "false", "False": "false", "none": "none", "None": "none",
}

func (t *translator) primary() code {
	switch next := t.advance(); {
	case next.kind == nameToken && constants[next.value] != "":
		return code{constants[next.value], 1}
	case next.kind == nameToken:
		if next.value == "varargs" || next.value == "kwargs" {
			t.failf("%s of macros are not supported", next.value)
		}
		if value, found := t.substitution[next.value]; found {
			return code{value, 3}
		}
		return code{variable(next.value), 1}
	case next.kind == stringToken:
		value := next.value
		for t.peek().kind == stringToken {
			value += t.advance().value
		}
		return quoted(value)
	case next.kind == integerToken:
		base := 10
		if len(next.value) > digits(next.value) {
			base = 0
		}
		value, err := strconv.ParseInt(next.value, base, 64)
		if err != nil {
			t.failf("%s is no integer of 64 bits", next.value)
		}
		return code{strconv.FormatInt(value, 10), 1}
	case next.kind == floatToken:
		value, err := strconv.ParseFloat(next.value, 64)
		if err != nil {
			t.failf("%s is out of range", next.value)
		}
		return code{engineFloat(value), 1}
	case next == token{operatorToken, "("}:
		if t.accept(")") {
			return t.operation("tuple")
		}
		value := t.tuple(t.conditional)
		t.require(")")
		return value
	case next == token{operatorToken, "["}:
		return t.operation("list", t.elements("]")...)
	case next == token{operatorToken, "{"}:
		return t.dictionary()
	default:
		t.failf("want a value, not %v", next)
		return code{}
	}
}

// engineFloat writes a number in the engine's language, which wants a point.
func engineFloat(value float64) string {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(value, 'e', -1, 64), "e")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	return mantissa + "e" + exponent
}

func (t *translator) elements(closing string) []code {
	var list []code
	for !t.accept(closing) {
		list = append(list, t.conditional())
		if !t.accept(",") {
			t.require(closing)
			break
		}
	}
	return list
}

func (t *translator) dictionary() code {
	var pairs []code
	for !t.accept("}") {
		key := t.conditional()
		t.require(":")
		pairs = append(pairs, key, t.conditional())
		if !t.accept(",") {
			t.require("}")
			break
		}
	}
	return t.operation("dictionary", pairs...)
}

// postfix reads attributes, subscripts and calls.
func (t *translator) postfix(value code) code {
	for {
		switch {
		case t.accept("."):
			switch next := t.advance(); next.kind {
			case nameToken:
				value = t.operation("attribute", value, quoted(next.value))
			case integerToken:
				value = t.operation("item", value, code{next.value, 1})
			default:
				t.failf("want a name after the point, not %v", next)
			}
		case t.accept("["):
			value = t.subscript(value)
		case t.accept("("):
			value = t.operation("call", append([]code{value}, t.arguments(value)...)...)
		default:
			return value
		}
	}
}

func (t *translator) subscript(value code) code {
	bounds, colons := [3]code{{"none", 1}, {"none", 1}, {"none", 1}}, 0
	for t.peek() != (token{operatorToken, "]"}) {
		if t.accept(":") {
			if colons++; colons > 2 {
				t.failf("a slice of more than three parts")
			}
			continue
		}
		bounds[colons] = t.conditional()
		if next := t.peek(); next != (token{operatorToken, ":"}) && next != (token{operatorToken, "]"}) {
			t.failf("want \":\" or \"]\", not %v", next)
		}
	}
	t.require("]")
	if colons == 0 {
		return t.operation("item", value, bounds[0])
	}
	return t.operation("slice", value, bounds[0], bounds[1], bounds[2])
}

// ordered are the functions whose named arguments become a dictionary, in order; the engine hands them over without.
var ordered = []string{variable("dict"), variable("namespace")}

// arguments reads the arguments of a call, named ones last.
func (t *translator) arguments(function code) []code {
	var list, pairs []code
	for !t.accept(")") {
		switch next := t.peek(); {
		case next == token{operatorToken, "*"} || next == token{operatorToken, "**"}:
			t.failf("%s before an argument is not supported", next.value)
		case next.kind == nameToken && t.tokens[t.token+1] == token{operatorToken, "="}:
			t.token += 2
			value := t.conditional()
			if slices.Contains(ordered, function.text) {
				pairs = append(pairs, quoted(next.value), value)
				break
			}
			list = append(list, code{variable(next.value) + "=" + value.text, value.depth})
		default:
			list = append(list, t.conditional())
		}
		if !t.accept(",") {
			t.require(")")
			break
		}
	}
	if pairs != nil {
		list = append(list, t.operation("dictionary", pairs...))
	}
	return list
}

func (t *translator) filter(value code) code {
	filter := t.expect(nameToken, "a filter")
	operands := []code{quoted(filter), value}
	if t.accept("(") {
		operands = append(operands, t.arguments(code{})...)
	}
	return t.operation("filter", operands...)
}

func (t *translator) test(value code) code {
	negated := t.acceptName("not")
	operands := []code{quoted(t.expect(nameToken, "a test")), value}
	switch next := t.peek(); {
	case t.accept("("):
		operands = append(operands, t.arguments(code{})...)
	case next.kind == nameToken && !slices.Contains([]string{"else", "or", "and", "if", "is", "in", "not"}, next.value),
		next.kind == stringToken, next.kind == integerToken, next.kind == floatToken, next == token{operatorToken, "["}, next == token{operatorToken, "{"}:
		operands = append(operands, t.postfix(t.primary()))
	}
	value = t.operation("test", operands...)
	if negated {
		return t.nested("(not "+value.text+")", value.depth)
	}
	return value
}
