// Package filter decides by an expression in CEL whether a destination takes an event.
//
// An expression knows the event by these names, and nothing else:
//
//	source, method, path, content_type   texts
//	query      a map of the parameters, decoded; the first value of each, and "" of one that is not there
//	headers    a map of the headers, whatever the case of a name; several lines of one are joined by ", ", and "" is one that is not there
//	ce         a map of the attributes of a CloudEvent: id, source, type, time, subject; "" is one that is not there
//	json       the body
//
// Numbers of the body are int where they are written without a fraction or an exponent and fit, uint
// where they fit there, and double otherwise; they compare with each other whatever they are. Where
// an object has a name twice, the last one counts, as with encoding/json.
//
// An evaluation costs at most CostLimit and has no side effects, so that the same event meets the
// same decision. It fails where the expression asks for what is not there ("no such key"), where
// types don't fit, where json is used of a body that is none, and where it costs too much. What a
// failure means the caller decides. All methods may be called concurrently.
package filter

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"pillarbox"
)

const (
	// MaxLength is the longest expression, in bytes.
	MaxLength = 4 << 10

	// CostLimit is what one evaluation may cost, in units of CEL: a step is one, and so are ten bytes of
	// a text that is searched. It is reached in a few milliseconds.
	CostLimit = 100_000

	// maxDepth is how deep an expression may be nested.
	maxDepth = 50
)

// Filter is a compiled expression.
type Filter struct {
	text    string
	program cel.Program
}

// environment is what expressions may use.
var environment = newEnvironment()

func newEnvironment() *cel.Env {
	texts := cel.MapType(cel.StringType, cel.StringType)
	env, err := cel.NewEnv(
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(MaxLength),
		cel.ParserRecursionLimit(maxDepth),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateDurationLiterals()),
		cel.Variable("source", cel.StringType),
		cel.Variable("method", cel.StringType),
		cel.Variable("path", cel.StringType),
		cel.Variable("content_type", cel.StringType),
		cel.Variable("query", texts),
		cel.Variable("headers", texts),
		cel.Variable("ce", texts),
		cel.Variable("json", cel.DynType),
	)
	if err != nil {
		panic("filter: bug: " + err.Error())
	}
	return env
}

// Compile reads an expression. Errors: ErrInvalid, with what is wrong and where.
func Compile(text string) (*Filter, error) {
	if len(text) > MaxLength {
		return nil, pillarbox.Invalid("the filter has %d bytes, and may have %d", len(text), MaxLength)
	}
	ast, issues := environment.Compile(text)
	if err := issues.Err(); err != nil {
		return nil, pillarbox.Invalid("the filter is no expression in CEL: %s", firstIssue(issues))
	}
	if kind := ast.OutputType(); !kind.IsExactType(cel.BoolType) && !kind.IsExactType(cel.DynType) {
		return nil, pillarbox.Invalid("the filter gives %s, and must give true or false, as in %s", kind, `json.type == "a"`)
	}
	program, err := environment.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(CostLimit))
	if err != nil {
		return nil, pillarbox.Invalid("the filter can't be evaluated: %v", err)
	}
	return &Filter{text: text, program: program}, nil
}

// firstIssue is what is wrong first, in one line.
func firstIssue(issues *cel.Issues) string {
	for _, one := range issues.Errors() {
		return fmt.Sprintf("%s (column %d)", oneLine(one.Message), one.Location.Column()+1)
	}
	return oneLine(issues.Err().Error())
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// String is the expression.
func (f *Filter) String() string { return f.text }

// Takes reports whether the expression is true of the event. An error says why it can't tell.
func (f *Filter) Takes(event *pillarbox.Event) (bool, error) {
	facts := view{event: event}
	result, _, err := f.program.Eval(&facts)
	if err != nil {
		return false, failure(err)
	}
	taken, isBool := result.(types.Bool)
	if !isBool {
		return false, fmt.Errorf("the filter gives %s, and not true or false", result.Type().TypeName())
	}
	return bool(taken), nil
}

// failure says in one line why an evaluation failed.
func failure(err error) error {
	var inner *types.Err
	if errors.As(err, &inner) && inner.Unwrap() != nil {
		err = inner.Unwrap()
	}
	return fmt.Errorf("the filter fails: %s", oneLine(err.Error()))
}
