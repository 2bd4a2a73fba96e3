package fakedynamo

import (
	"regexp"
	"slices"
	"strings"
)

// node is a part of an expression: an operator with operands, the name of an attribute, or a value.
type node struct {
	operator string // a comparator, BETWEEN, AND, OR, NOT or a function; empty for a leaf
	operands []*node
	name     string // of an attribute
	value    *value
}

// expressions parses the expressions of one request, which share their placeholders.
type expressions struct {
	names  map[string]string
	values map[string]value
	used   map[string]bool

	tokens []string // of the expression that is being parsed
	at     int
}

func newExpressions(names map[string]string, values map[string]value) *expressions {
	return &expressions{names: names, values: values, used: map[string]bool{}}
}

var token = regexp.MustCompile(`^\s*([#:][A-Za-z0-9_]+|[A-Za-z_][A-Za-z0-9_]*|<>|<=|>=|[=<>(),])`)

// parse parses a condition, or returns nil for an empty one.
func (x *expressions) parse(text string) (*node, error) {
	if text == "" {
		return nil, nil
	}
	if err := x.split(text); err != nil {
		return nil, err
	}
	n, err := x.or()
	if err == nil && x.at < len(x.tokens) {
		err = unknown("an expression that goes on with %q: %s", x.tokens[x.at], text)
	}
	return n, err
}

func (x *expressions) split(text string) error {
	x.tokens, x.at = nil, 0
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimSpace(rest) {
		found := token.FindStringSubmatch(rest)
		if found == nil {
			return unknown("what begins at %q in an expression", rest)
		}
		x.tokens = append(x.tokens, found[1])
		rest = rest[len(found[0]):]
	}
	return nil
}

// peek returns the next token, words in capitals, or an empty text at the end.
func (x *expressions) peek() string {
	if x.at == len(x.tokens) {
		return ""
	}
	return strings.ToUpper(x.tokens[x.at])
}

func (x *expressions) take(want string) bool {
	if x.peek() != want {
		return false
	}
	x.at++
	return true
}

func (x *expressions) or() (*node, error)  { return x.chain("OR", x.and) }
func (x *expressions) and() (*node, error) { return x.chain("AND", x.not) }

func (x *expressions) chain(operator string, next func() (*node, error)) (*node, error) {
	left, err := next()
	for err == nil && x.take(operator) {
		var right *node
		right, err = next()
		left = &node{operator: operator, operands: []*node{left, right}}
	}
	return left, err
}

func (x *expressions) not() (*node, error) {
	if x.take("NOT") {
		operand, err := x.not()
		return &node{operator: "NOT", operands: []*node{operand}}, err
	}
	if x.take("(") {
		inner, err := x.or()
		if err == nil && !x.take(")") {
			err = invalid("Invalid expression: a parenthesis is not closed")
		}
		return inner, err
	}
	if x.at+1 < len(x.tokens) && x.tokens[x.at+1] == "(" {
		return x.function()
	}
	return x.comparison()
}

// functions are those that the stand-in knows, with the number of their operands.
var functions = map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "begins_with": 2}

func (x *expressions) function() (*node, error) {
	n := &node{operator: x.tokens[x.at]}
	want, ok := functions[n.operator]
	if !ok {
		return nil, unknown("the function %s", n.operator)
	}
	x.at += 2
	for len(n.operands) < want {
		if len(n.operands) > 0 && !x.take(",") {
			return nil, invalid("Invalid expression: Incorrect number of operands for operator or function; operator or function: %s", n.operator)
		}
		operand, err := x.operand()
		if err != nil {
			return nil, err
		}
		n.operands = append(n.operands, operand)
	}
	if !x.take(")") {
		return nil, invalid("Invalid expression: Incorrect number of operands for operator or function; operator or function: %s", n.operator)
	}
	return n, nil
}

var comparators = []string{"=", "<>", "<", "<=", ">", ">="}

func (x *expressions) comparison() (*node, error) {
	left, err := x.operand()
	if err != nil {
		return nil, err
	}
	n := &node{operator: x.peek(), operands: []*node{left}}
	if !slices.Contains(comparators, n.operator) && n.operator != "BETWEEN" {
		return nil, unknown("the operator %q", n.operator)
	}
	x.at++
	right, err := x.operand()
	if err != nil {
		return nil, err
	}
	n.operands = append(n.operands, right)
	if n.operator == "BETWEEN" {
		if !x.take("AND") {
			return nil, invalid("Invalid expression: BETWEEN without AND")
		}
		high, err := x.operand()
		if err != nil {
			return nil, err
		}
		if order, ok := right.between(high); ok && order > 0 {
			return nil, invalid("The BETWEEN operator requires upper bound to be greater than or equal to lower bound")
		}
		n.operands = append(n.operands, high)
	}
	return n, nil
}

// between compares two bounds that are values.
func (n *node) between(high *node) (int, bool) {
	if n.value == nil || high.value == nil {
		return 0, false
	}
	return n.value.compare(*high.value)
}

func (x *expressions) operand() (*node, error) {
	text := ""
	if x.at < len(x.tokens) {
		text = x.tokens[x.at]
		x.at++
	}
	switch {
	case strings.HasPrefix(text, "#"):
		name, ok := x.names[text]
		if !ok {
			return nil, invalid("Invalid expression: An expression attribute name used in the document path is not defined; attribute name: %s", text)
		}
		x.used[text] = true
		return &node{name: name}, nil
	case strings.HasPrefix(text, ":"):
		v, ok := x.values[text]
		if !ok {
			return nil, invalid("Invalid expression: An expression attribute value used in expression is not defined; attribute value: %s", text)
		}
		x.used[text] = true
		return &node{value: &v}, nil
	}
	return nil, unknown("which words are reserved, and therefore takes no name that is not a placeholder: %q", text)
}

// projection parses a list of names.
func (x *expressions) projection(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	if err := x.split(text); err != nil {
		return nil, err
	}
	var names []string
	for {
		n, err := x.operand()
		if err != nil {
			return nil, err
		}
		if n.value != nil || slices.Contains(names, n.name) {
			return nil, invalid("Invalid ProjectionExpression: %s", text)
		}
		names = append(names, n.name)
		if x.at == len(x.tokens) {
			return names, nil
		}
		if !x.take(",") {
			return nil, unknown("a projection with %q", x.peek())
		}
	}
}

// finish refuses placeholders that no expression used.
func (x *expressions) finish() error {
	for name := range x.names {
		if !x.used[name] {
			return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}",
				name)
		}
	}
	for name := range x.values {
		if !x.used[name] {
			return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}",
				name)
		}
	}
	return nil
}

// holds reports whether the item meets the condition. A nil condition is always met.
func (n *node) holds(i item) bool {
	if n == nil {
		return true
	}
	switch n.operator {
	case "AND":
		return n.operands[0].holds(i) && n.operands[1].holds(i)
	case "OR":
		return n.operands[0].holds(i) || n.operands[1].holds(i)
	case "NOT":
		return !n.operands[0].holds(i)
	}
	var operands []value
	for _, operand := range n.operands {
		v, ok := operand.in(i)
		switch {
		case n.operator == "attribute_exists":
			return ok
		case n.operator == "attribute_not_exists":
			return !ok
		case !ok:
			return n.operator == "<>"
		}
		operands = append(operands, v)
	}
	return compares(n.operator, operands)
}

func (n *node) in(i item) (value, bool) {
	if n.value != nil {
		return *n.value, true
	}
	v, ok := i[n.name]
	return v, ok
}

func compares(operator string, operands []value) bool {
	switch operator {
	case "=":
		return operands[0].equal(operands[1])
	case "<>":
		return !operands[0].equal(operands[1])
	case "BETWEEN":
		return compares(">=", operands[:2]) && compares("<=", []value{operands[0], operands[2]})
	case "begins_with":
		a, b := operands[0], operands[1]
		return a.kind == b.kind && (a.kind == "S" && strings.HasPrefix(a.text, b.text) ||
			a.kind == "B" && strings.HasPrefix(string(a.raw), string(b.raw)))
	}
	order, ok := operands[0].compare(operands[1])
	return ok && map[string]bool{"<": order < 0, "<=": order <= 0, ">": order > 0,
		">=": order >= 0}[operator]
}

// attributes returns the names of the attributes in the condition.
func (n *node) attributes() []string {
	if n == nil {
		return nil
	}
	var names []string
	if n.name != "" {
		names = append(names, n.name)
	}
	for _, operand := range n.operands {
		names = append(names, operand.attributes()...)
	}
	return names
}
