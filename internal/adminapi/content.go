package adminapi

import (
	"net/url"
	"strings"

	"pillarbox"
	"pillarbox/internal/search"
)

// The parameters by which events are selected for what was sent, and what stands in front of names.
const (
	paramContentType = "content_type"
	paramMethod      = "method"
	paramPath        = "path"
	paramText        = "text"
	headerPrefix     = "header."
	jsonPrefix       = "json."
)

var contentParams = []string{paramContentType, paramMethod, paramPath, paramText, headerPrefix + "NAME", jsonPrefix + "POINTER"}

// DefaultMaxScan is how many events a page looks at, where no index leads to what the filter asks for,
// before it says that it needs a time range: about a second of a disk and a processor.
const DefaultMaxScan = 100_000

// content is what is to be known of what was sent; nil where nothing is asked for.
func (q query) content() *pillarbox.ContentFilter {
	c := &pillarbox.ContentFilter{ContentType: q.text(paramContentType), Method: q.text(paramMethod), Path: q.text(paramPath),
		Text: q.text(paramText)}
	for name, values := range q.values {
		header, isHeader := strings.CutPrefix(name, headerPrefix)
		pointer, isPointer := strings.CutPrefix(name, jsonPrefix)
		for _, value := range values {
			switch {
			case isHeader:
				c.Headers = append(c.Headers, pillarbox.HeaderField{Name: header, Value: q.isText(name, value)})
			case isPointer:
				c.JSON = append(c.JSON, pillarbox.PointerValue{Pointer: pointer, Value: q.isText(name, value)})
			}
		}
	}
	if err := search.Check(c); err != nil {
		q.refuse(err)
	}
	if c.IsZero() {
		return nil
	}
	return c
}

// mayRepeat reports whether a parameter may be given several times: an event may have several lines of
// a header, and a pointer may lead to several values.
func mayRepeat(name string) bool {
	return strings.HasPrefix(name, headerPrefix) || strings.HasPrefix(name, jsonPrefix)
}

// SetContent puts the filter into the parameters of a query of events.
func SetContent(values url.Values, c *pillarbox.ContentFilter) {
	for name, text := range map[string]string{paramContentType: c.ContentType, paramMethod: c.Method, paramPath: c.Path,
		paramText: c.Text} {
		if text != "" {
			values.Set(name, text)
		}
	}
	for _, h := range c.Headers {
		values.Add(headerPrefix+h.Name, h.Value)
	}
	for _, v := range c.JSON {
		values.Add(jsonPrefix+v.Pointer, v.Value)
	}
}
