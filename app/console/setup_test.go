package console_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/app/console"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/app/worldtest"
)

// world is a console over a world of the test's own.
type world struct {
	*worldtest.World

	t      *testing.T
	router *web.Router
	url    string
}

// open makes a console that nobody has set up yet.
func open(t *testing.T) *world {
	t.Helper()
	w := &world{World: worldtest.New(t), t: t}
	pages := console.New(console.Config{
		Auth: w.Auth, Guard: w.Guard, Catalog: w.Catalog, Instances: w.Instances, Finops: w.Finops, Gateway: w.Gateway,
		Events: w.Hub, Loops: w.Instances.Loops(), Providers: []string{"mock"}, PublicURL: worldtest.URL, AuditDays: 400, Version: "v1.2.3", Log: w.Log,
	})
	var err error
	w.router, err = web.New(web.Config{Log: w.Log, PublicURL: worldtest.URL, SignIn: console.SignIn, ErrorPage: pages.ErrorPage})
	ok(t, err)
	ok(t, pages.Register(w.router))
	w.url = w.Serve(w.router)
	return w
}

// setup makes a console with an owner who is signed in.
func setup(t *testing.T) *world {
	t.Helper()
	w := open(t)
	w.Found()
	return w
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   string
}

// as sends a request with a session. A form makes it a POST.
func (w *world) as(session, path string, form url.Values, headers ...string) reply {
	w.t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, body)
	ok(w.t, err)
	req.Header.Set("Accept", "text/html")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if session != "" {
		req.AddCookie(w.Guard.Cookies.Set(session))
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	ok(w.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	ok(w.t, err)
	return reply{res.StatusCode, res.Header, string(b)}
}

func (w *world) get(path string) reply { w.t.Helper(); return w.as(w.Session, path, nil) }
func (w *world) post(path string, form url.Values) reply {
	w.t.Helper()
	return w.as(w.Session, path, form)
}

// fields makes a form of names and values.
func fields(kv ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		v.Add(kv[i], kv[i+1])
	}
	return v
}
