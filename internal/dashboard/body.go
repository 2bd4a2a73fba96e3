package dashboard

import (
	"encoding/hex"
	"html/template"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"pillarbox"
	"pillarbox/internal/jsontext"
)

// The bounds of what a page shows of a body. All of it can be downloaded.
const (
	maxShown      = 256 << 10 // bytes of text
	maxHex        = 4 << 10   // bytes that are no text
	maxNodes      = 5_000     // values of JSON
	maxFoldDepth  = 32        // below which JSON is shown as it came
	openFoldDepth = 3         // down to which JSON is unfolded
)

// shownBody is a body as a page shows it, by its kind.
type shownBody struct {
	Kind string // empty, json, form, xml, text, image or hex
	Size int
	JSON template.HTML
	Form []header
	Text string
	Cut  bool // there is more
}

func showBody(event *pillarbox.Event) shownBody {
	shown := shownBody{Size: len(event.Body)}
	kind, _, err := mime.ParseMediaType(event.ContentType)
	if err != nil {
		kind = ""
	}
	isText := utf8.Valid(event.Body)
	switch {
	case len(event.Body) == 0:
		shown.Kind = "empty"
	case strings.HasPrefix(kind, "image/"):
		shown.Kind = "image"
	case isText && jsontext.Valid(jsontext.Text(event.Body)) && len(event.Body) <= maxShown:
		shown.Kind, shown.JSON = "json", foldJSON(jsontext.Text(event.Body))
	case isText && kind == "application/x-www-form-urlencoded" && showForm(&shown, event.Body):
		shown.Kind = "form"
	case isText:
		if shown.Kind = "text"; kind == "application/xml" || kind == "text/xml" || strings.HasSuffix(kind, "+xml") {
			shown.Kind = "xml"
		}
		shown.Text, shown.Cut = cutText(string(event.Body))
	default:
		shown.Kind, shown.Cut = "hex", len(event.Body) > maxHex
		shown.Text = hex.Dump(event.Body[:min(maxHex, len(event.Body))])
	}
	return shown
}

func cutText(text string) (string, bool) {
	if len(text) <= maxShown {
		return text, false
	}
	return strings.ToValidUTF8(text[:maxShown], ""), true
}

// showForm lists the fields in their order.
func showForm(shown *shownBody, body []byte) bool {
	for pair := range strings.SplitSeq(string(body), "&") {
		name, value, _ := strings.Cut(pair, "=")
		n, err := url.QueryUnescape(name)
		if err != nil {
			return false
		}
		v, err := url.QueryUnescape(value)
		if err != nil || len(shown.Form) >= maxNodes {
			return false
		}
		shown.Form = append(shown.Form, header{n, v})
	}
	return true
}

// folder writes JSON as elements that fold. Every value is the text that came: no number goes through a
// float, and members stay in their order, twice where they came twice.
type folder struct {
	out   strings.Builder
	nodes int
}

func foldJSON(text []byte) template.HTML {
	f := &folder{}
	f.value(gjson.ParseBytes(text), 0)
	return template.HTML(f.out.String()) //nolint:gosec // every text in it was escaped
}

func (f *folder) value(v gjson.Result, depth int) {
	f.nodes++
	switch {
	case !v.IsObject() && !v.IsArray():
		f.span(map[gjson.Type]string{gjson.String: "string", gjson.Number: "number"}[v.Type], v.Raw)
	case depth >= maxFoldDepth || f.nodes > maxNodes:
		f.span("", v.Raw)
	default:
		f.container(v, depth)
	}
}

func (f *folder) span(class, text string) {
	f.out.WriteString(`<span class="json-` + class + `">` + template.HTMLEscapeString(shown(text)) + `</span>`)
}

func (f *folder) container(v gjson.Result, depth int) {
	brackets := "[]"
	if v.IsObject() {
		brackets = "{}"
	}
	items := 0
	v.ForEach(func(_, _ gjson.Result) bool { items++; return true })
	if items == 0 {
		f.out.WriteString(brackets)
		return
	}
	f.out.WriteString("<details")
	if depth < openFoldDepth {
		f.out.WriteString(" open")
	}
	f.out.WriteString("><summary>" + brackets[:1] + " " + strconv.Itoa(items) + "</summary><ul>")
	v.ForEach(func(key, value gjson.Result) bool {
		f.out.WriteString("<li>")
		if v.IsObject() {
			f.span("name", key.Raw)
			f.out.WriteString(": ")
		}
		f.value(value, depth+1)
		f.out.WriteString("</li>")
		return true
	})
	f.out.WriteString("</ul>" + brackets[1:] + "</details>")
}

// body hands out the bytes of a body, to be saved and never to be shown.
func (d *Dashboard) body(w http.ResponseWriter, r *http.Request) {
	if isForeign(r, false) {
		refuse(w, http.StatusForbidden, foreignSite)
		return
	}
	event := &pillarbox.Event{}
	err := d.ask(r, "/api/v1/events/"+escape(r.PathValue("id")), event)
	secure(w.Header())
	if err != nil {
		status := http.StatusInternalServerError
		if problem, ok := err.(*apiError); ok {
			status = problem.Status
		}
		refuse(w, status, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": event.RequestID + ".body"}))
	w.Header().Set("Content-Security-Policy", "sandbox")
	w.Header().Set("Content-Length", strconv.Itoa(len(event.Body)))
	_, _ = w.Write(event.Body) // whoever has gone does not read it
}

func escape(segment string) string { return url.PathEscape(segment) }
