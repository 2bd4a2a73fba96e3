package dashboard

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"pillarbox/internal/telemetry"
)

//go:embed static templates
var files embed.FS

// Options of a dashboard. API is required.
type Options struct {
	API        http.Handler // the admin API, which also answers all that is no page
	MaxViewers int          // streams at a time; more get pages that stand still. 0 is DefaultMaxViewers
	Logger     *slog.Logger // nil: discard
	Now        func() time.Time
}

// DefaultMaxViewers is how many pages are kept up to date at a time.
const DefaultMaxViewers = 200

// Dashboard serves the pages, and hands everything else to the API.
type Dashboard struct {
	opts  Options
	mux   *http.ServeMux
	pages map[string]*template.Template
	hub   *hub
}

// page is one view. data asks the API for what its template shows.
type page struct {
	pattern  string
	template string
	title    string
	data     func(d *Dashboard, v *view) (any, error)
	live     bool // its template "live" is kept up to date
}

var pages = []page{
	{"/{$}", "overview", "Overview", (*Dashboard).overview, true},
	{"/events", "events", "Events", (*Dashboard).events, false},
	{"/events/{id}", "event", "Event", (*Dashboard).event, false},
	{"/failures", "failures", "Failures", (*Dashboard).failures, true},
	{"/failures/group", "group", "Group", (*Dashboard).group, false},
	{"/quarantine", "quarantine", "Quarantine", (*Dashboard).quarantine, false},
	{"/sources", "sources", "Sources and keys", (*Dashboard).sources, false},
	{"/destinations", "destinations", "Destinations", (*Dashboard).destinations, true},
	{"/trail", "trail", "Trail", (*Dashboard).trail, false},
	{"/configuration", "configuration", "Configuration", (*Dashboard).configuration, false},
}

// New makes the dashboard. Close it when the server begins to stop.
func New(opts Options) *Dashboard {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.MaxViewers <= 0 {
		opts.MaxViewers = DefaultMaxViewers
	}
	d := &Dashboard{opts: opts, mux: http.NewServeMux(), pages: map[string]*template.Template{}}
	d.hub = newHub(d)
	layout := template.Must(template.New("layout.html").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html"))
	for _, name := range []string{"login", "problem"} {
		d.pages[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, "templates/"+name+".html"))
	}
	for i := range pages {
		p := &pages[i]
		d.pages[p.template] = template.Must(template.Must(layout.Clone()).ParseFS(files, "templates/"+p.template+".html"))
		d.mux.HandleFunc("GET "+p.pattern, func(w http.ResponseWriter, r *http.Request) { d.show(w, r, p) })
	}
	d.mux.HandleFunc("GET /events/{id}/body", d.body)
	d.mux.HandleFunc("GET /live", d.hub.serve)
	d.mux.Handle("GET /static/", http.HandlerFunc(static))
	d.mux.Handle("/", opts.API)
	return d
}

// Close ends the streams. It is safe to call twice, and does not wait.
func (d *Dashboard) Close() { d.hub.close() }

// ServeHTTP implements http.Handler. A path that is not as it should be is the API's to refuse.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if path.Clean(r.URL.Path) != r.URL.Path {
		d.opts.API.ServeHTTP(w, r)
		return
	}
	d.mux.ServeHTTP(w, r)
}

// isForeign reports whether a page of another site has a browser ask for this. visits says that a person
// may come from there, to a window of its own.
func isForeign(r *http.Request, visits bool) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return !visits || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document"
		}
	}
	return false
}

const foreignSite = "a page of another site asks for this, and may not; open the address in a window of its own"

// secure sets what keeps a page from doing more than it is for.
func secure(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types pillarbox")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
}

// static serves scripts and styles, which tell nothing.
func static(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	name := strings.TrimPrefix(r.URL.Path, "/")
	content, err := fs.ReadFile(files, name)
	if err != nil {
		refuse(w, http.StatusNotFound, "there is no such file")
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}

// view is a page that is asked for.
type view struct {
	*http.Request
	who identity
}

// identity is who looks.
type identity struct {
	Actor     string `json:"actor"`
	Scope     string `json:"scope"`
	ExpiresAt string `json:"expires_at"`
}

// frame is what the layout shows around a page.
type frame struct {
	Title string
	Path  string
	Who   identity
	Data  any
	Live  string // address of the stream of the page; empty where it stands still
	Error string
}

// show renders a page, or says why not: to whoever is not known yet, with a form to log in.
func (d *Dashboard) show(w http.ResponseWriter, r *http.Request, p *page) {
	if isForeign(r, true) {
		refuse(w, http.StatusForbidden, foreignSite)
		return
	}
	v := &view{Request: r}
	f := &frame{Title: p.title, Path: r.URL.Path}
	name, status := p.template, http.StatusOK
	err := d.ask(r, "/api/v1/session", &v.who)
	if err == nil {
		f.Who = v.who
		f.Data, err = p.data(d, v)
	}
	if p.live {
		f.Live = "/live?page=" + p.template + "&" + r.URL.RawQuery
	}
	var problem *apiError
	switch {
	case err == nil:
	case errors.As(err, &problem) && problem.Status == http.StatusUnauthorized:
		name, status, f.Live = "login", http.StatusUnauthorized, ""
	case errors.As(err, &problem):
		name, status, f.Error, f.Live = "problem", problem.Status, problem.Detail, ""
	default:
		name, status, f.Error, f.Live = "problem", http.StatusInternalServerError, err.Error(), ""
		d.opts.Logger.Error("a page can't be shown", telemetry.KeyRoute, p.pattern, telemetry.KeyErr, err)
	}
	d.write(w, name, status, f)
}

// write renders into memory first, so that a page is whole or is not sent.
func (d *Dashboard) write(w http.ResponseWriter, name string, status int, f *frame) {
	var text bytes.Buffer
	if err := d.pages[name].ExecuteTemplate(&text, "layout.html", f); err != nil {
		d.opts.Logger.Error("a page can't be shown", telemetry.KeyRoute, name, telemetry.KeyErr, err)
		refuse(w, http.StatusInternalServerError, fmt.Sprintf("the page can't be shown: %v", err))
		return
	}
	secure(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // whoever has gone does not read it
}
