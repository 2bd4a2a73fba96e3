// Package dashboard is what people look at: pages on the admin listener, rendered here and kept up to
// date by server-sent events.
//
// It is a client of the admin API in the same process: each page asks that API with the credentials of
// the browser, and each act of a page is a request of the browser to it. So there is one guard, one
// set of checks and one trail, and nothing on a page that the API does not have.
//
// It promises that looking changes nothing; that what clients have sent is shown as text, whatever it
// is; that everything comes from this process, under a Content-Security-Policy without inline
// scripts and styles; that each view has its address; that a page has a bounded size, and that a
// hundred viewers of the overview cost as much as one: it is asked for once a second for all of them,
// and not at all while nobody looks.
//
// It does not ask anything that scans the store or the queue without a person's request.
package dashboard
