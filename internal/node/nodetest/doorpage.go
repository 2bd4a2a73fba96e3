package nodetest

import (
	"strings"
	"testing"

	"pillarbox/internal/source"
)

// pageDoors are requests of pages of other sites.
func pageDoors(t testing.TB) (doors []Door) {
	const here, there = "https://example.org", "http://localhost:3000"
	const exposed = "X-Request-Id, Idempotent-Replayed, Retry-After, Preference-Applied, RateLimit, RateLimit-Policy"
	const allow = "GET, HEAD, OPTIONS, POST"
	app := source.Settings{Name: "app", Path: "/app", MaxBody: MaxBody}
	some, all, own, asked := app, app, app, app
	some.CORS.Origins = []string{there, here}
	all.CORS.Origins = []string{source.AnyOrigin}
	own.CORS = source.CORS{Origins: []string{here}, Credentials: true}
	asked.CORS, asked.Keys = some.CORS, NewDoorKeys(t).Ring
	vary := map[string]string{"Vary": "Origin"}
	page := map[string]string{"Access-Control-Allow-Origin": here, "Access-Control-Expose-Headers": exposed, "Vary": "Origin"}
	anyPage := map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": exposed}
	with := func(page map[string]string, more ...string) map[string]string {
		whole := map[string]string{}
		for name, value := range page {
			whole[name] = value
		}
		for i := 0; i < len(more); i += 2 {
			whole[more[i]] = more[i+1]
		}
		return whole
	}
	const preflightVary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	preflight := []string{"Access-Control-Allow-Methods", allow, "Access-Control-Max-Age", "7200", "Vary", preflightVary}
	withHeaders := append(preflight[:len(preflight):len(preflight)], "Access-Control-Allow-Headers", "content-type, x-api-key")
	receipt := Door{Body: "x", Status: 202, Type: jsonType, Answer: "receipt", Stored: true}
	possible := Door{Method: "OPTIONS", Status: 204, Allow: allow}
	add := func(name string, settings source.Settings, like Door, page map[string]string, header ...string) {
		like.Name, like.Source, like.Page, like.Header = "page, "+name, settings, page, header
		doors = append(doors, like)
	}
	add("allowed", some, receipt, page, "Origin", here)
	add("allowed, in lower case", some, receipt, page, "origin", here)
	add("another one", some, receipt, vary, "Origin", "https://evil.example.org")
	add("one that begins the same way", some, receipt, vary, "Origin", here+".evil.net")
	add("null", some, receipt, vary, "Origin", "null")
	add("two", some, receipt, vary, "Origin", here, "Origin", there)
	doors[len(doors)-1].Lines = true
	add("none", some, receipt, vary)
	add("nobody asks", app, receipt, nil, "Origin", here)
	add("any", all, receipt, anyPage, "Origin", "https://any.example.org")
	add("any, of none", all, receipt, anyPage)
	add("credentials", own, receipt, with(page, "Access-Control-Allow-Credentials", "true"), "Origin", here)
	add("credentials of another one", own, receipt, vary, "Origin", there)
	refused := Door{Body: "x", Status: 401, Type: problemType, Answer: "problem"}
	add("refused", asked, refused, page, "Origin", here)
	large := Door{Body: strings.Repeat("x", MaxBody+1), Status: 413, Type: problemType, Answer: "problem"}
	add("too large", some, large, page, "Origin", here)
	add("alive", some, Door{Method: "GET", Status: 200, Type: jsonType, Answer: `{"status":"ok"}` + "\n"}, page, "Origin", here)
	add("a method that is not", some, Door{Method: "PUT", Body: "x", Status: 405, Type: problemType, Answer: "problem", Allow: allow}, page, "Origin", here)

	method := "Access-Control-Request-Method"
	add("preflight", some, possible, with(page, preflight...), "Origin", here, method, "POST")
	add("preflight without a credential", asked, possible, with(page, preflight...), "Origin", here, method, "POST")
	add("preflight for headers", some, possible, with(page, withHeaders...), "Origin", here, method, "POST",
		"Access-Control-Request-Headers", "content-type, x-api-key")
	add("preflight for what are no headers", some, possible, with(page, preflight...), "Origin", here, method, "POST",
		"Access-Control-Request-Headers", "a b")
	add("preflight for too many headers", some, possible, with(page, preflight...), "Origin", here, method, "POST",
		"Access-Control-Request-Headers", strings.Repeat("a,", 600)+"a")
	add("preflight of another one", some, possible, vary, "Origin", "https://evil.example.org", method, "POST")
	add("preflight of any", all, possible, with(anyPage, preflight...), "Origin", here, method, "POST")
	add("preflight for credentials", own, possible, with(with(page, preflight...), "Access-Control-Allow-Credentials", "true"), "Origin", here, method, "POST")
	add("OPTIONS that is none", some, possible, page, "Origin", here)
	return doors
}
