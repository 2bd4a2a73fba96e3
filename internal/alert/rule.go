package alert

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/goccy/go-yaml"

	"pillarbox"
)

// Severity says how much a rule is in a hurry.
type Severity string

// The severities.
const (
	High Severity = "high" // for now
	Low  Severity = "low"  // for working hours
)

// Severities lists them.
func Severities() []Severity { return []Severity{High, Low} }

// Limits of rules.
const (
	MaxRules       = 200       // with those that are built in
	MaxRulesBytes  = 256 << 10 // of a file
	MaxExpression  = 4 << 10   // bytes
	MaxSummary     = 500       // bytes
	maxEvaluation  = 10_000    // units of CEL, where a step is one
	maxParserDepth = 50
)

// The units that a value of a message may have.
const (
	unitNumber  = ""
	unitSeconds = "seconds"
	unitBytes   = "bytes"
	unitShare   = "share"
)

var units = []string{unitSeconds, unitBytes, unitShare}

// Rule is a condition, and what is told where it holds.
type Rule struct {
	Name     string
	Severity Severity
	Each     Kind
	For      time.Duration // for which it must hold
	When     string
	Value    string // an expression; empty for none
	Unit     string
	Summary  string // with {value}, {node} and the kind of what it is of
	Runbook  string
	Limits   map[string]float64

	when, value cel.Program // value may be nil
	needs       []string    // values that the condition asks for
}

// written is a rule in a file. What is not there is nil.
type written struct {
	Name     string           `yaml:"name"`
	Off      bool             `yaml:"off"`
	Each     *string          `yaml:"each"`
	When     *string          `yaml:"when"`
	Limits   map[string]limit `yaml:"limits"`
	For      *string          `yaml:"for"`
	Severity *string          `yaml:"severity"`
	Value    *string          `yaml:"value"`
	Unit     *string          `yaml:"unit"`
	Summary  *string          `yaml:"summary"`
	Runbook  *string          `yaml:"runbook"`
}

// limit is a number, and nothing that looks like one.
type limit float64

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (l *limit) UnmarshalYAML(text []byte) error {
	number, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	if err != nil {
		return fmt.Errorf("want a number, and not %s", strings.TrimSpace(string(text)))
	}
	*l = limit(number)
	return nil
}

//go:embed rules.yaml
var builtIn []byte

// BuiltIn returns the rules that are built in.
func BuiltIn() []*Rule {
	rules, err := parse(builtIn, nil)
	if err != nil {
		panic("alert: bug: " + err.Error())
	}
	return rules
}

// Rules returns the rules that are built in, as the text of a file changes them: it may set
// anything of one anew, switch it off, and have others. An empty text changes nothing. Errors:
// ErrInvalid, with the rule and what is wrong.
func Rules(text []byte) ([]*Rule, error) {
	if len(text) > MaxRulesBytes {
		return nil, pillarbox.Invalid("the rules have %d bytes, and may have %d", len(text),
			MaxRulesBytes)
	}
	return parse(text, BuiltIn())
}

func parse(text []byte, rules []*Rule) ([]*Rule, error) {
	var file struct {
		Rules []written `yaml:"rules"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&file); err != nil &&
		!errors.Is(err, io.EOF) {
		return nil, pillarbox.Invalid("%s", strings.Join(strings.Fields(yaml.FormatError(err, false,
			false)), " "))
	}
	seen := map[string]bool{}
	for i := range file.Rules {
		w := &file.Rules[i]
		if seen[w.Name] {
			return nil, pillarbox.Invalid("rule %q is there twice", w.Name)
		}
		seen[w.Name] = true
		var err error
		if rules, err = w.put(rules); err != nil {
			return nil, err
		}
	}
	if len(rules) > MaxRules {
		return nil, pillarbox.Invalid("there are %d rules with those that are built in, and may be %d",
			len(rules), MaxRules)
	}
	return rules, nil
}

var (
	ruleForm  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)
	limitForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
)

// put adds the rule to others, or changes the one of its name.
func (w *written) put(rules []*Rule) ([]*Rule, error) {
	if !ruleForm.MatchString(w.Name) {
		return nil,
			pillarbox.Invalid("the name of a rule is %q; want a letter, and letters, digits and _ behind it, up to 63", w.Name)
	}
	at := slices.IndexFunc(rules, func(r *Rule) bool { return r.Name == w.Name })
	switch {
	case at < 0 && (w.Off || w.When == nil):
		return nil,
			pillarbox.Invalid("rule %s: there is none of this name that could be changed; one of your own needs a condition (when), and those that are built in are %s",
				w.Name, namesOf(rules))
	case w.Off && w.changes():
		return nil,
			pillarbox.Invalid("rule %s: is off, so that the rest has no effect; leave one of the two out",
				w.Name)
	case w.Off:
		return slices.Delete(rules, at, at+1), nil
	case at >= 0 && !w.changes():
		return nil, pillarbox.Invalid("rule %s: nothing of it is changed; leave it out", w.Name)
	}
	rule := Rule{Name: w.Name, Each: OfNode, Limits: map[string]float64{}}
	if at >= 0 {
		rule = *rules[at]
		rule.Limits = maps.Clone(rule.Limits)
	}
	if err := w.over(&rule, at < 0 || w.When != nil); err != nil {
		return nil, fmt.Errorf("rule %s: %w", w.Name, err)
	}
	if at < 0 {
		return append(rules, &rule), nil
	}
	rules[at] = &rule
	return rules, nil
}

func namesOf(rules []*Rule) string {
	var names []string
	for _, r := range rules {
		names = append(names, r.Name)
	}
	return strings.Join(names, ", ")
}

// changes reports whether anything is said beside the name.
func (w *written) changes() bool {
	return w.Each != nil || w.When != nil || w.Limits != nil || w.For != nil || w.Severity != nil ||
		w.Value != nil ||
		w.Unit != nil || w.Summary != nil || w.Runbook != nil
}

// over puts what is written into the rule, and compiles it. ownLimits says that limits may be new
// ones.
func (w *written) over(r *Rule, ownLimits bool) error {
	for name, number := range w.Limits {
		if _, there := r.Limits[name]; !there && !ownLimits {
			return pillarbox.Invalid("there is no limit %q; there are: %s", name,
				strings.Join(slices.Sorted(maps.Keys(r.Limits)), ", "))
		} else if !limitForm.MatchString(name) {
			return pillarbox.Invalid("the name of a limit is %q; want a small letter, and small letters, digits and _ behind it", name)
		}
		r.Limits[name] = float64(number)
	}
	for _, text := range []struct {
		from *string
		to   *string
	}{{w.When, &r.When}, {w.Value, &r.Value}, {w.Unit, &r.Unit}, {w.Summary, &r.Summary}, {w.Runbook,
		&r.Runbook},
		{w.Each, (*string)(&r.Each)}, {w.Severity, (*string)(&r.Severity)}} {
		if text.from != nil {
			*text.to = *text.from
		}
	}
	if w.For != nil {
		var err error
		if r.For, err = parseTime(*w.For); err != nil || r.For < 0 {
			return pillarbox.Invalid("for is %q; want a time as in 90s, 15m, 12h or 2d", *w.For)
		}
	}
	return r.compile()
}

// parseTime is time.ParseDuration with days of 24 hours in front.
func parseTime(text string) (time.Duration, error) {
	var days time.Duration
	if before, after, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(before, 10, 16)
		if err != nil {
			return 0, err
		}
		days, text = time.Duration(n)*24*time.Hour, cmp.Or(after, "0")
	}
	rest, err := time.ParseDuration(text)
	return days + rest, err
}

// compile checks the rule, and makes its expressions ready.
func (r *Rule) compile() error {
	switch {
	case !slices.Contains(Kinds(), r.Each):
		return pillarbox.Invalid("each is %q; it may be node, destination or certificate", r.Each)
	case !slices.Contains(Severities(), r.Severity):
		return pillarbox.Invalid("severity is %q; it may be high or low", r.Severity)
	case r.Summary == "" || len(r.Summary) > MaxSummary:
		return pillarbox.Invalid("the summary has %d bytes; want 1 to %d", len(r.Summary), MaxSummary)
	case len(r.Runbook) > MaxSummary:
		return pillarbox.Invalid("the runbook has %d bytes; want %d at most", len(r.Runbook), MaxSummary)
	case r.Unit != unitNumber && !slices.Contains(units, r.Unit):
		return pillarbox.Invalid("unit is %q; it may be %s", r.Unit, strings.Join(units, ", "))
	case r.Unit != unitNumber && r.Value == "":
		return pillarbox.Invalid("unit has no effect without a value")
	}
	env, err := r.environment()
	if err != nil {
		return err
	}
	if r.when, r.needs, err = program(env, "when", r.When, cel.BoolType); err != nil {
		return err
	}
	for name := range r.Limits {
		if !strings.Contains(r.When+r.Value, limitPrefix+name) {
			return pillarbox.Invalid("limit %q has no effect: the condition does not ask for %s%s", name,
				limitPrefix, name)
		}
	}
	if r.value = nil; r.Value != "" {
		r.value, _, err = program(env, "value", r.Value, cel.DoubleType)
	}
	return err
}

const limitPrefix = "limit."

// environment is what the rule's expressions may use.
func (r *Rule) environment() (*cel.Env, error) {
	options := []cel.EnvOption{cel.CrossTypeNumericComparisons(true),
		cel.ParserExpressionSizeLimit(MaxExpression),
		cel.ParserRecursionLimit(maxParserDepth), cel.ASTValidators(cel.ValidateRegexLiterals())}
	for i := range values {
		if v := &values[i]; v.of == OfNode || v.of == r.Each {
			options = append(options, cel.Variable(v.name, v.celType()))
		}
	}
	for name := range r.Limits {
		options = append(options, cel.Variable(limitPrefix+name, cel.DoubleType))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("bug: %w", err)
	}
	return env, nil
}

// program compiles an expression, and lists the values that it asks for.
func program(env *cel.Env, key, text string, want *cel.Type) (made cel.Program, names []string,
	err error) {
	if len(text) > MaxExpression {
		return nil, nil, pillarbox.Invalid("%s has %d bytes, and may have %d", key, len(text),
			MaxExpression)
	}
	ast, issues := env.Compile(text)
	if err := issues.Err(); err != nil {
		first := issues.Errors()[0]
		return nil, nil, pillarbox.Invalid("%s is no expression in CEL: %s (column %d)", key,
			strings.Join(strings.Fields(first.Message), " "), first.Location.Column()+1)
	}
	if got := ast.OutputType(); !got.IsExactType(want) {
		return nil, nil, pillarbox.Invalid("%s gives %s, and must give %s", key, got, want)
	}
	for _, reference := range ast.NativeRep().ReferenceMap() {
		if slices.ContainsFunc(values, func(v value) bool { return v.name == reference.Name }) {
			names = append(names, reference.Name)
		}
	}
	if made, err = env.Program(ast, cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(maxEvaluation)); err != nil {
		return nil, nil, pillarbox.Invalid("%s can't be evaluated: %v", key, err)
	}
	return made, names, nil
}

// holds reports whether the condition is true. One that can't be told for want of a value that is
// not known is not. An error says why it can't be told although all are known.
func (r *Rule) holds(facts map[string]any) (bool, error) {
	result, _, err := r.when.Eval(facts)
	if err == nil {
		return result.Value() == true, nil
	}
	for _, name := range r.needs {
		if _, known := facts[name]; !known {
			return false, nil
		}
	}
	return false, fmt.Errorf("rule %s: %w", r.Name, err)
}

// valueOf is the value that a message has; known is false where there is none.
func (r *Rule) valueOf(facts map[string]any) (number float64, known bool) {
	if r.value == nil {
		return 0, false
	}
	result, _, err := r.value.Eval(facts)
	if err != nil {
		return 0, false
	}
	number, known = result.Value().(float64)
	return number, known
}

// facts adds the limits of the rule to what is known.
func (r *Rule) facts(known map[string]any) map[string]any {
	facts := maps.Clone(known)
	for name, number := range r.Limits {
		facts[limitPrefix+name] = number
	}
	return facts
}
