package adminapi

// Route is one method of one path of the admin listener, for the test that holds the document to
// the table.
type Route struct {
	Method, Path string
	Params       []string
	Answers      []int
	Open         bool
	Login        bool
	Scope        Scope
	Act          string
}

// Routes is the table of the admin listener.
func Routes() []Route {
	var routes []Route
	for _, r := range apiRoutes {
		routes = append(routes, Route{Method: r.method, Path: r.path, Params: r.params,
			Answers: r.answers, Open: r.open, Login: r.login, Scope: r.scope, Act: r.act})
	}
	return routes
}

// TextsMade is how many events were made into text for followers.
func (a *Handler) TextsMade() int {
	a.texts.mu.Lock()
	defer a.texts.mu.Unlock()
	return a.texts.made
}

// Followers is how many streams are open.
func (a *Handler) Followers() int { return int(a.followers.Load()) }
