package filter

import (
	"errors"
	"fmt"
	"math"
	"net/textproto"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unsafe"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
	"github.com/tidwall/gjson"

	"pillarbox"
	"pillarbox/internal/jsontext"
)

// view is an event as an expression sees it. What the expression does not ask for costs nothing.
type view struct {
	event *pillarbox.Event
	json  ref.Val
	query url.Values
}

// Parent implements interpreter.Activation.
func (v *view) Parent() interpreter.Activation { return nil }

// ResolveName implements interpreter.Activation.
func (v *view) ResolveName(name string) (any, bool) {
	switch name {
	case "source":
		return types.String(v.event.Source), true
	case "method":
		return types.String(v.event.Method), true
	case "path":
		return types.String(v.event.Path), true
	case "content_type":
		return types.String(v.event.ContentType), true
	case "headers":
		return &texts{get: v.header, all: v.headers}, true
	case "query":
		return &texts{get: v.parameter, all: v.parameters}, true
	case "ce":
		return &texts{get: v.attribute, all: v.attributes}, true
	case "json":
		return v.body(), true
	}
	return nil, false
}

var errNoJSON = errors.New("the body is no JSON")

// body is the body as JSON, looked at once.
func (v *view) body() ref.Val {
	if v.json != nil {
		return v.json
	}
	text := jsontext.Text(v.event.Body)
	if !jsontext.Valid(text) {
		v.json = types.WrapErr(errNoJSON)
		return v.json
	}
	// Not copied: nobody changes the body of an event, and a decision keeps nothing of it.
	v.json = valueOf(gjson.Parse(unsafe.String(unsafe.SliceData(text), len(text))))
	return v.json
}

func (v *view) header(name string) (value string, found bool) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	for i := range v.event.Header {
		if v.event.Header[i].Name != name {
			continue
		}
		if found {
			value += ", "
		}
		value, found = value+v.event.Header[i].Value, true
	}
	return value, found
}

func (v *view) headers() map[string]string {
	all := make(map[string]string, len(v.event.Header))
	for i := range v.event.Header {
		all[v.event.Header[i].Name], _ = v.header(v.event.Header[i].Name)
	}
	return all
}

func (v *view) values() url.Values {
	if v.query == nil {
		v.query, _ = url.ParseQuery(v.event.Query) // what can't be decoded has no name to ask for
	}
	return v.query
}

func (v *view) parameter(name string) (string, bool) {
	values := v.values()[name]
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func (v *view) parameters() map[string]string {
	all := map[string]string{}
	for name, values := range v.values() {
		all[name] = values[0]
	}
	return all
}

var ceNames = [...]string{"id", "source", "type", "time", "subject"}

func (v *view) attribute(name string) (value string, found bool) {
	facts := v.event.Facts
	if facts == nil {
		return "", false
	}
	switch name {
	case "id":
		value = facts.CEID
	case "source":
		value = facts.CESource
	case "type":
		value = facts.CEType
	case "time":
		value = facts.CETime
	case "subject":
		value = facts.CESubject
	}
	return value, value != ""
}

func (v *view) attributes() map[string]string {
	all := map[string]string{}
	for _, name := range ceNames {
		if value, found := v.attribute(name); found {
			all[name] = value
		}
	}
	return all
}

// texts is a map of texts whose members are made when they are asked for. One that is not there is
// "", and is not "in" it. It is no traits.Mapper: of those one that is not there can't have a value.
type texts struct {
	get func(name string) (string, bool)
	all func() map[string]string
}

func (t *texts) asMap() traits.Mapper {
	return types.NewStringStringMap(types.DefaultTypeAdapter, t.all())
}

// Get implements traits.Indexer.
func (t *texts) Get(key ref.Val) ref.Val {
	name, isText := key.(types.String)
	if !isText {
		return types.MaybeNoSuchOverloadErr(key)
	}
	value, _ := t.get(string(name))
	return types.String(value)
}

// Contains implements traits.Container.
func (t *texts) Contains(key ref.Val) ref.Val {
	name, isText := key.(types.String)
	if !isText {
		return types.MaybeNoSuchOverloadErr(key)
	}
	_, found := t.get(string(name))
	return types.Bool(found)
}

// IsSet implements traits.FieldTester.
func (t *texts) IsSet(key ref.Val) ref.Val { return t.Contains(key) }

// Iterator implements traits.Iterable.
func (t *texts) Iterator() traits.Iterator { return t.asMap().Iterator() }

// Size implements traits.Sizer.
func (t *texts) Size() ref.Val { return t.asMap().Size() }

// ConvertToNative implements ref.Val.
func (t *texts) ConvertToNative(to reflect.Type) (any, error) { return t.asMap().ConvertToNative(to) }

// ConvertToType implements ref.Val.
func (t *texts) ConvertToType(to ref.Type) ref.Val { return t.asMap().ConvertToType(to) }

// Equal implements ref.Val.
func (t *texts) Equal(other ref.Val) ref.Val { return t.asMap().Equal(other) }

// Type implements ref.Val.
func (t *texts) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (t *texts) Value() any { return t.all() }

// valueOf is a value of the body; objects and arrays are looked into when they are asked.
func valueOf(at gjson.Result) ref.Val {
	switch at.Type {
	case gjson.String:
		return types.String(at.Str)
	case gjson.Number:
		return numberOf(at.Raw)
	case gjson.True:
		return types.True
	case gjson.False:
		return types.False
	case gjson.JSON:
		if at.IsArray() {
			return listOf(at)
		}
		return &object{at: at}
	}
	return types.NullValue
}

// numberOf keeps whole numbers whole: a double has 53 bits for them.
func numberOf(text string) ref.Val {
	if !strings.ContainsAny(text, ".eE") {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return types.Int(n)
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return types.Uint(n)
		}
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(number, 0) {
		return types.WrapErr(fmt.Errorf("%s is no number", text))
	}
	return types.Double(number)
}

func listOf(at gjson.Result) ref.Val {
	items := []ref.Val{}
	at.ForEach(func(_, value gjson.Result) bool {
		items = append(items, valueOf(value))
		return true
	})
	return types.NewRefValList(types.DefaultTypeAdapter, items)
}

// object is an object of the body.
type object struct {
	at  gjson.Result
	all traits.Mapper // made when more than one member is asked for
}

func (o *object) member(name string) (value gjson.Result, found bool) {
	o.at.ForEach(func(key, v gjson.Result) bool {
		if key.Str == name {
			value, found = v, true
		}
		return true
	})
	return value, found
}

func (o *object) asMap() traits.Mapper {
	if o.all == nil {
		members := map[ref.Val]ref.Val{}
		o.at.ForEach(func(key, value gjson.Result) bool {
			members[types.String(key.Str)] = valueOf(value)
			return true
		})
		o.all = types.NewRefValMap(types.DefaultTypeAdapter, members)
	}
	return o.all
}

// Find implements traits.Mapper.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, isText := key.(types.String)
	if !isText {
		return nil, false
	}
	value, found := o.member(string(name))
	if !found {
		return nil, false
	}
	return valueOf(value), true
}

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	value, found := o.Find(key)
	if !found {
		return types.NewErr("no such key: %v", key)
	}
	return value
}

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	_, found := o.Find(key)
	return types.Bool(found)
}

// Iterator implements traits.Iterable.
func (o *object) Iterator() traits.Iterator { return o.asMap().Iterator() }

// Size implements traits.Sizer.
func (o *object) Size() ref.Val { return o.asMap().Size() }

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(to reflect.Type) (any, error) { return o.asMap().ConvertToNative(to) }

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(to ref.Type) ref.Val { return o.asMap().ConvertToType(to) }

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val { return o.asMap().Equal(other) }

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o *object) Value() any { return o.asMap().Value() }
