package jinja2

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ardanlabs/jinja"
)

// operations are the functions that translated templates are made of. The first argument of each in the template is the
// line, which is taken off before.
var operations map[string]callable

func init() {
	operations = map[string]callable{
		"out":       out,
		"each":      each,
		"unpack":    unpack,
		"assign":    assign,
		"argument":  argument,
		"call":      call,
		"filter":    filter,
		"test":      test,
		"attribute": attribute,
		"item":      item,
		"slice":     slice,

		"list":       list,
		"tuple":      tuple,
		"dictionary": dictionary,

		"concatenate":   concatenate,
		"add":           fold(add),
		"subtract":      fold(arithmetic(subtractIntegers, func(a, b float64) float64 { return a - b })),
		"multiply":      fold(multiply),
		"divide":        fold(divide),
		"floor_divide":  fold(floorDivide),
		"modulo":        fold(modulo),
		"power":         fold(power),
		"negate":        negate,
		"positive":      positive,
		"equal":         equality(true),
		"unequal":       equality(false),
		"less":          order(func(sign int) bool { return sign < 0 }),
		"less_equal":    order(func(sign int) bool { return sign <= 0 }),
		"greater":       order(func(sign int) bool { return sign > 0 }),
		"greater_equal": order(func(sign int) bool { return sign >= 0 }),
		"contained":     contained,
	}
}

// out is what {{ }} writes.
func out(r *rendering, a arguments) (jinja.Value, error) {
	s, err := r.string(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	return r.text(s)
}

// each is what a loop goes through.
func each(r *rendering, a arguments) (jinja.Value, error) {
	items, err := r.items(a.values[0])
	if err != nil {
		return jinja.Undefined(), err
	}
	return jinja.NewList(items), r.spend(len(items) * operationWork)
}

// unpack is a list of as many values as there are names for them.
func unpack(r *rendering, a arguments) (jinja.Value, error) {
	items, err := r.items(a.values[0])
	if want := int(a.values[1].AsInt()); err == nil && len(items) != want {
		err = fmt.Errorf("%d values for %d names", len(items), want)
	}
	return jinja.NewList(items), err
}

// assign sets an attribute of a namespace.
func assign(r *rendering, a arguments) (jinja.Value, error) {
	if space := a.values[0]; space.IsDict() && r.namespaces[space.AsDict()] {
		space.AsDict().Set(a.values[1].AsString(), a.values[2])
		return jinja.NewString(""), nil
	}
	return jinja.Undefined(), fmt.Errorf("an attribute of %s cannot be set", kindOf(a.values[0]))
}

// undefinedArgument stands for an undefined value that is an argument of a macro, where no value would mean the default.
const undefinedArgument = "undefined argument"

// argument is an argument of a macro.
func argument(_ *rendering, a arguments) (jinja.Value, error) {
	if v := a.values[0]; !v.IsCallable() || v.AsCallable().Name != undefinedArgument {
		return v, nil
	}
	return jinja.Undefined(), nil
}

// call calls a function, method or macro.
func call(r *rendering, a arguments) (jinja.Value, error) {
	function, values := a.values[0], a.values[1:]
	if !function.IsCallable() || isGenerator(function) {
		return jinja.Undefined(), fmt.Errorf("%s cannot be called", kindOf(function))
	}
	if err := r.enter(); err != nil {
		return jinja.Undefined(), err
	}
	defer r.leave()
	if name := function.AsCallable().Name; name == "caller" || strings.HasPrefix(name, variable("")) {
		if names := r.macros[name]; names != nil {
			if err := (arguments{values, a.named}).check(0, append(slices.Clone(names), "caller")...); err != nil || len(values) > len(names) {
				return jinja.Undefined(), fmt.Errorf("the macro %s has the parameters %q only", name[len(variable("")):], names)
			}
		}
		for i, v := range values {
			if v.IsUndefined() {
				values[i] = jinja.NewCallable(undefinedArgument, nil)
			}
		}
		for n, v := range a.named {
			if v.IsUndefined() {
				a.named[n] = jinja.NewCallable(undefinedArgument, nil)
			}
		}
	}
	return function.AsCallable().Fn(values, a.named)
}

func filter(r *rendering, a arguments) (jinja.Value, error) {
	name := a.values[0].AsString()
	f, known := filters[name]
	if !known {
		return jinja.Undefined(), fmt.Errorf("the filter %q is not known", name)
	}
	v, err := f(r, arguments{a.values[1:], plainNames(a.named)})
	if err != nil {
		err = fmt.Errorf("filter %s: %w", name, err)
	}
	return v, err
}

func test(r *rendering, a arguments) (jinja.Value, error) {
	v, err := r.test(a.values[0].AsString(), a.values[1], a.values[2:])
	return jinja.NewBool(v), err
}

// attribute is value.name: a method, or else what a mapping has under the name.
func attribute(r *rendering, a arguments) (jinja.Value, error) {
	v, name := a.values[0], a.values[1].AsString()
	if v.IsUndefined() {
		return v, fmt.Errorf("attribute %q of an undefined value", name)
	}
	if method, found := r.method(v, name); found {
		return method, nil
	}
	if v.IsDict() {
		found, _ := r.key(v.AsDict(), a.values[1])
		return found, nil
	}
	return jinja.Undefined(), nil
}

// item is value[key]; what is not there is undefined.
func item(r *rendering, a arguments) (jinja.Value, error) {
	v, key := a.values[0], a.values[1]
	switch {
	case v.IsUndefined():
		return v, errors.New("an item of an undefined value")
	case v.IsDict():
		if found, ok := r.key(v.AsDict(), key); ok {
			return found, nil
		}
	case v.IsList() && isInteger(key):
		items := v.AsList().Items
		if at := fromEnd(integerOf(key), len(items)); at >= 0 && at < int64(len(items)) {
			return items[at], nil
		}
		return jinja.Undefined(), nil
	case v.IsString() && isInteger(key):
		c := r.cutter(v.AsString())
		at, length := integerOf(key), utf8.RuneCountInString(c.plain)
		if at = fromEnd(at, length); at < 0 || at >= int64(length) {
			return jinja.Undefined(), r.spend(len(c.plain))
		}
		from := offset(c.plain, at)
		return jinja.NewString(c.cut(from, from+offset(c.plain[from:], 1))), r.spend(len(c.plain))
	}
	if key.IsString() {
		if method, found := r.method(v, r.plain(key.AsString())); found {
			return method, nil
		}
	}
	return jinja.Undefined(), nil
}

// fromEnd counts a negative index from the end.
func fromEnd(index int64, length int) int64 {
	if index < 0 {
		return index + int64(length)
	}
	return index
}

// slice is value[start:stop:step].
func slice(r *rendering, a arguments) (jinja.Value, error) {
	v := a.values[0]
	if v.IsUndefined() {
		return v, errors.New("a slice of an undefined value")
	}
	if !v.IsList() && !v.IsString() {
		return jinja.Undefined(), nil
	}
	bounds := [3]*int64{}
	for i, bound := range a.values[1:] {
		switch {
		case isInteger(bound):
			n := integerOf(bound)
			bounds[i] = &n
		case !bound.IsNone():
			return jinja.Undefined(), fmt.Errorf("a slice's part is %s", kindOf(bound))
		}
	}
	if v.IsString() {
		return r.sliceString(v.AsString(), bounds)
	}
	items := v.AsList().Items
	start, count, step, err := sliceOf(bounds, int64(len(items)))
	if err == nil {
		err = r.makeItems(int(count))
	}
	if err != nil {
		return jinja.Undefined(), err
	}
	sliced := make([]jinja.Value, count)
	for i := range sliced {
		sliced[i] = items[start+int64(i)*step]
	}
	if r.tuples[v.AsList()] {
		return r.tuple(sliced...), nil
	}
	return jinja.NewList(sliced), nil
}

func (r *rendering) sliceString(s string, bounds [3]*int64) (jinja.Value, error) {
	c := r.cutter(s)
	start, count, step, err := sliceOf(bounds, int64(utf8.RuneCountInString(c.plain)))
	if err == nil {
		err = r.make(len(s))
	}
	if err != nil {
		return jinja.Undefined(), err
	}
	if step == 1 {
		from := offset(c.plain, start)
		return jinja.NewString(c.cut(from, from+offset(c.plain[from:], count))), nil
	}
	characters, sliced := []rune(c.plain), make([]rune, count)
	for i := range sliced {
		sliced[i] = characters[start+int64(i)*step]
	}
	return jinja.NewString(r.anew(string(sliced), s)), nil
}

// offset returns where in a text the character of a number begins.
func offset(s string, characters int64) int {
	for at := range s {
		if characters == 0 {
			return at
		}
		characters--
	}
	return len(s)
}

// sliceOf returns what a slice takes of a sequence, as Python's slice.indices does.
func sliceOf(bounds [3]*int64, length int64) (start, count, step int64, err error) {
	step = 1
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		return 0, 0, 0, errors.New("a slice of step 0")
	}
	step = max(min(step, length+1), -length-1)
	low, high := int64(0), length
	if step < 0 {
		low, high = -1, length-1
	}
	bound := func(given *int64, absent int64) int64 {
		if given == nil {
			return absent
		}
		return max(min(fromEnd(*given, int(length)), high), low)
	}
	if step > 0 {
		start = bound(bounds[0], low)
		count = (bound(bounds[1], high) - start + step - 1) / step
	} else {
		start = bound(bounds[0], high)
		count = (bound(bounds[1], low) - start + step + 1) / step
	}
	return start, max(count, 0), step, nil
}

func list(r *rendering, a arguments) (jinja.Value, error) {
	return jinja.NewList(slices.Clone(a.values)), r.makeItems(len(a.values))
}

func tuple(r *rendering, a arguments) (jinja.Value, error) {
	return r.tuple(slices.Clone(a.values)...), r.makeItems(2 * len(a.values))
}

// dictionary takes keys and values in turn.
func dictionary(r *rendering, a arguments) (jinja.Value, error) {
	v := jinja.NewDict()
	d, texts := v.AsDict(), true
	var keys []jinja.Value
	for i := 0; i < len(a.values); i += 2 {
		key := a.values[i]
		if !key.IsString() && !isNumber(key) && !key.IsNone() {
			return v, fmt.Errorf("a key of a mapping is %s", kindOf(key))
		}
		texts = texts && key.IsString()
		name := r.plainText(key)
		if !d.Has(name) {
			keys = append(keys, key)
		}
		d.Set(name, a.values[i+1])
	}
	if !texts {
		r.keys[d] = keys
	}
	return v, r.makeItems(2 * len(a.values))
}

// concatenate is ~, which makes all values texts.
func concatenate(r *rendering, a arguments) (jinja.Value, error) {
	texts, size := make([]string, len(a.values)), 0
	for i, v := range a.values {
		s, err := r.string(v)
		if err != nil {
			return jinja.Undefined(), err
		}
		texts[i] = s
		size += len(s)
	}
	if err := r.make(size); err != nil {
		return jinja.Undefined(), err
	}
	return jinja.NewString(strings.Join(texts, "")), nil
}

// fold makes of an operation on two values one on a run of them.
func fold(operate func(r *rendering, a, b jinja.Value) (jinja.Value, error)) callable {
	return func(r *rendering, a arguments) (jinja.Value, error) {
		sum := a.values[0]
		for _, v := range a.values[1:] {
			var err error
			if sum, err = operate(r, sum, v); err != nil {
				return jinja.Undefined(), err
			}
		}
		return sum, nil
	}
}

func add(r *rendering, a, b jinja.Value) (jinja.Value, error) {
	switch {
	case a.IsString() && b.IsString():
		if err := r.make(len(a.AsString()) + len(b.AsString())); err != nil {
			return jinja.Undefined(), err
		}
		return jinja.NewString(a.AsString() + b.AsString()), nil
	case a.IsList() && b.IsList() && r.tuples[a.AsList()] == r.tuples[b.AsList()]:
		x, y := a.AsList().Items, b.AsList().Items
		if err := r.makeItems(len(x) + len(y)); err != nil {
			return jinja.Undefined(), err
		}
		if r.tuples[a.AsList()] {
			return r.tuple(slices.Concat(x, y)...), nil
		}
		return jinja.NewList(slices.Concat(x, y)), nil
	}
	return addNumbers(r, a, b)
}

var addNumbers = arithmetic(
	func(a, b int64) (int64, bool) { return a + b, (a+b > a) == (b > 0) },
	func(a, b float64) float64 { return a + b },
)

func subtractIntegers(a, b int64) (int64, bool) { return a - b, (a-b < a) == (b > 0) }

var errLarge = errors.New("an integer beyond 64 bits")

// arithmetic is an operation on numbers; that on integers tells whether the result fits.
func arithmetic(integers func(a, b int64) (int64, bool), floats func(a, b float64) float64) func(*rendering, jinja.Value, jinja.Value) (jinja.Value, error) {
	return func(_ *rendering, a, b jinja.Value) (jinja.Value, error) {
		switch {
		case isInteger(a) && isInteger(b):
			n, fits := integers(integerOf(a), integerOf(b))
			if !fits {
				return jinja.Undefined(), errLarge
			}
			return jinja.NewInt(n), nil
		case isNumber(a) && isNumber(b):
			return jinja.NewFloat(floats(numberOf(a), numberOf(b))), nil
		}
		return jinja.Undefined(), fmt.Errorf("no such operation on %s and %s", kindOf(a), kindOf(b))
	}
}

func multiply(r *rendering, a, b jinja.Value) (jinja.Value, error) {
	if isInteger(a) && !isNumber(b) {
		a, b = b, a
	}
	count := max(integerOf(b), 0)
	switch {
	case a.IsString() && isInteger(b):
		s := a.AsString()
		if len(s) > 0 && count > MaxOutput/int64(len(s)) {
			return jinja.Undefined(), r.make(MaxOutput + 1)
		}
		if err := r.make(len(s) * int(count)); err != nil || s == "" {
			return jinja.NewString(""), err
		}
		return jinja.NewString(strings.Repeat(s, int(count))), nil
	case a.IsList() && isInteger(b):
		items := a.AsList().Items
		if len(items) > 0 && count > math.MaxInt32/int64(len(items)) {
			return jinja.Undefined(), r.makeItems(-1)
		}
		if err := r.makeItems(len(items) * int(count)); err != nil || len(items) == 0 {
			return jinja.NewList(nil), err
		}
		return jinja.NewList(slices.Repeat(items, int(count))), nil
	}
	return multiplyNumbers(r, a, b)
}

var multiplyNumbers = arithmetic(
	func(a, b int64) (int64, bool) {
		product := a * b
		return product, a == 0 || product/a == b && !(a == -1 && b == math.MinInt64)
	},
	func(a, b float64) float64 { return a * b },
)

var errZero = errors.New("a division by zero")

func divide(_ *rendering, a, b jinja.Value) (jinja.Value, error) {
	if !isNumber(a) || !isNumber(b) {
		return jinja.Undefined(), fmt.Errorf("%s cannot be divided by %s", kindOf(a), kindOf(b))
	}
	if numberOf(b) == 0 {
		return jinja.Undefined(), errZero
	}
	return jinja.NewFloat(numberOf(a) / numberOf(b)), nil
}

// floorDivide rounds down, as Python does.
func floorDivide(r *rendering, a, b jinja.Value) (jinja.Value, error) {
	if isNumber(b) && numberOf(b) == 0 {
		return jinja.Undefined(), errZero
	}
	return floorDivideNumbers(r, a, b)
}

var floorDivideNumbers = arithmetic(
	func(a, b int64) (int64, bool) {
		n := a / b
		if a%b != 0 && (a < 0) != (b < 0) {
			n--
		}
		return n, a != math.MinInt64 || b != -1
	},
	func(a, b float64) float64 { return math.Floor(a / b) },
)

// modulo is the remainder, which has the sign of the divisor, or the formatting of a text.
func modulo(r *rendering, a, b jinja.Value) (jinja.Value, error) {
	if a.IsString() {
		values := []jinja.Value{b}
		if b.IsList() {
			values = b.AsList().Items
		}
		return r.format(a.AsString(), values)
	}
	if isNumber(b) && numberOf(b) == 0 {
		return jinja.Undefined(), errZero
	}
	return moduloNumbers(r, a, b)
}

var moduloNumbers = arithmetic(
	func(a, b int64) (int64, bool) {
		n := a % b
		if n != 0 && (n < 0) != (b < 0) {
			n += b
		}
		return n, true
	},
	func(a, b float64) float64 {
		n := math.Mod(a, b)
		if n != 0 && (n < 0) != (b < 0) {
			n += b
		}
		return n
	},
)

func power(r *rendering, a, b jinja.Value) (jinja.Value, error) {
	if isInteger(a) && isInteger(b) && integerOf(b) >= 0 {
		result, err := jinja.NewInt(1), error(nil)
		for range min(integerOf(b), 64) {
			if result, err = multiplyNumbers(r, result, a); err != nil {
				return jinja.Undefined(), err
			}
		}
		if base := integerOf(a); integerOf(b) > 64 && base == -1 && integerOf(b)%2 != 0 {
			result = jinja.NewInt(-1)
		}
		return result, nil
	}
	if !isNumber(a) || !isNumber(b) {
		return jinja.Undefined(), fmt.Errorf("%s has no power of %s", kindOf(a), kindOf(b))
	}
	return jinja.NewFloat(math.Pow(numberOf(a), numberOf(b))), nil
}

func negate(r *rendering, a arguments) (jinja.Value, error) {
	v := a.values[0]
	if v.IsFloat() {
		return jinja.NewFloat(-v.AsFloat()), nil
	}
	return arithmetic(subtractIntegers, func(a, b float64) float64 { return a - b })(r, jinja.NewInt(0), v)
}

func positive(_ *rendering, a arguments) (jinja.Value, error) {
	if !isNumber(a.values[0]) {
		return jinja.Undefined(), fmt.Errorf("%s has no sign", kindOf(a.values[0]))
	}
	return a.values[0], nil
}

func equality(want bool) callable {
	return func(r *rendering, a arguments) (jinja.Value, error) {
		same, err := r.equal(a.values[0], a.values[1])
		return jinja.NewBool(same == want), err
	}
}

func order(holds func(sign int) bool) callable {
	return func(r *rendering, a arguments) (jinja.Value, error) {
		sign, err := r.compare(a.values[0], a.values[1])
		return jinja.NewBool(holds(sign)), err
	}
}

// contained is "a in b".
func contained(r *rendering, a arguments) (jinja.Value, error) {
	found, err := r.contains(a.values[1], a.values[0])
	return jinja.NewBool(found), err
}

func (r *rendering) contains(in, v jinja.Value) (bool, error) {
	switch {
	case in.IsString():
		if !v.IsString() {
			return false, fmt.Errorf("%s cannot be in a string", kindOf(v))
		}
		s := in.AsString()
		return strings.Contains(r.plain(s), r.plain(v.AsString())), r.spend(len(s))
	case in.IsDict() && !r.namespaces[in.AsDict()]:
		_, found := r.key(in.AsDict(), v)
		return found, nil
	}
	items, err := r.items(in)
	for _, item := range items {
		if same, err := r.equal(item, v); same || err != nil {
			return same, err
		}
	}
	return false, err
}
