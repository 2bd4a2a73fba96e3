package httpapi

// Route is one method of one path of the admin listener, for the test that holds the document to the table.
type Route struct {
	Method, Path string
	Params       []string
	Answers      []int
	Open         bool
}

// Routes is the table of the admin listener.
func Routes() []Route {
	var routes []Route
	for _, r := range adminRoutes {
		routes = append(routes, Route{Method: r.method, Path: r.path, Params: r.params, Answers: r.answers, Open: r.open})
	}
	return routes
}

// TextsMade is how many events were made into text for followers.
func (a *Admin) TextsMade() int {
	a.texts.mu.Lock()
	defer a.texts.mu.Unlock()
	return a.texts.made
}

// Followers is how many streams are open.
func (a *Admin) Followers() int { return int(a.followers.Load()) }

// Held is what bodies hold of their memory.
func (p *Public) Held() int64 { return p.inFlight.Held() }

// Split cuts a batch and returns its items; a nil item is one that was rejected.
func Split(form string, body []byte, limit int) ([][]byte, error) {
	items, err := split(nil, form, body, limit)
	bodies := make([][]byte, len(items))
	for i, it := range items {
		bodies[i] = it.body
	}
	return bodies, err
}
