package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"pillarbox"
)

// contentFlags are those that select events by what was sent.
func contentFlags(set *pflag.FlagSet, content *pillarbox.ContentFilter) {
	set.StringVar(&content.ContentType, "content-type", "", "only events of this media type, as text/plain")
	set.StringVar(&content.Method, "method", "", "only events with this method, as PUT")
	set.StringVar(&content.Path, "path", "", "only events with exactly this path")
	set.StringVar(&content.Text, "text", "", "only events whose body has this text somewhere, in this case")
	set.Var(pairFlag{"NAME=VALUE", func(name, value string) {
		content.Headers = append(content.Headers, pillarbox.HeaderField{Name: name, Value: value})
	}}, "header", "only events with this header, as X-Tenant=acme; may be given several times")
	set.Var(pairFlag{"POINTER=VALUE", func(pointer, value string) {
		content.JSON = append(content.JSON, pillarbox.PointerValue{Pointer: pointer, Value: value})
	}}, "json", "only events with this value in their JSON body, as /type=paid, or /items/*/n=1 for any item;\nnumbers as they were sent; may be given several times")
}

// pairFlag hands on what stands on both sides of the first equals sign.
type pairFlag struct {
	form string
	add  func(left, right string)
}

func (f pairFlag) String() string { return "" }

func (f pairFlag) Type() string { return f.form }

func (f pairFlag) Set(text string) error {
	left, right, found := strings.Cut(text, "=")
	if !found || left == "" {
		return fmt.Errorf("want %s", f.form)
	}
	f.add(left, right)
	return nil
}
