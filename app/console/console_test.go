package console_test

import (
	"bufio"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
)

func want(t *testing.T, a reply, status int, texts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d; Location %q", a.status, status, a.header.Get("Location"))
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("the page does not say %q", text)
		}
	}
}

// pages are what the navigation leads to, and who may open each.
var pages = map[string][]auth.Role{
	"/":                    {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/deployments":         {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/deployments/new":     {auth.Owner, auth.Admin},
	"/instances":           {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/models":              {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/endpoints":           {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/playground":          {auth.Owner, auth.Admin, auth.Manager, auth.User},
	"/keys":                {auth.Owner, auth.Admin, auth.Manager, auth.User},
	"/usage":               {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/usage.csv":           {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/requests":            {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/members":             {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/organisation/limits": {auth.Owner, auth.Admin, auth.Manager},
	"/audit":               {auth.Owner, auth.Admin, auth.Manager, auth.Auditor},
	"/account":             {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/meter":               {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
	"/loops":               {}, // operators of the platform, whatever their role
}

func TestPages_openForTheirRolesAlone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	sessions := map[auth.Role]string{}
	for _, role := range auth.Roles() {
		sessions[role] = w.Member(role)
	}
	for path, may := range pages {
		allowed := map[auth.Role]bool{}
		for _, r := range may {
			allowed[r] = true
		}
		for role, session := range sessions {
			status := http.StatusForbidden
			if allowed[role] {
				status = http.StatusOK
			}
			if got := w.as(session, path, nil).status; got != status {
				t.Errorf("%s as %s: %d, want %d", path, role, got, status)
			}
		}
		if a := w.as("", path, nil); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/sign-in?return=") {
			t.Errorf("%s signed out: %d to %q", path, a.status, a.header.Get("Location"))
		}
	}
	want(t, w.get("/loops"), http.StatusOK, "reconcile") // the owner operates the platform
}

// TestRoutes_allHaveAPolicyAndAPage finds a page that the table above forgot.
func TestRoutes_allHaveAPolicyAndAPage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, r := range w.router.Routes() {
		if r.Policy == "" {
			t.Errorf("%s %s has no policy", r.Method, r.Path)
		}
		special := r.Policy == "public" || strings.Contains(r.Path, ":") || r.Path == "/events/stream"
		if _, known := pages[r.Path]; r.Method == http.MethodGet && !special && !known {
			t.Errorf("%s is missing from the table of pages", r.Path)
		}
	}
}

// Every live region of every page answers by itself, without the frame.
func TestFragments_answerAlone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	regions := regexp.MustCompile(`hx-get="([^"]+)"`)
	for path := range pages {
		if path == "/usage.csv" {
			continue
		}
		for _, m := range regions.FindAllStringSubmatch(w.get(path).body, -1) {
			address := strings.ReplaceAll(m[1], "&amp;", "&")
			part := w.get(address)
			if part.status != http.StatusOK || strings.Contains(part.body, "<html") {
				t.Errorf("%s of %s: %d, with a frame: %t", address, path, part.status, strings.Contains(part.body, "<html"))
			}
		}
	}
	want(t, w.get("/deployments?fragment=nothing"), http.StatusNotFound)
}

func TestSignIn_keepsThePersonOnOurSite(t *testing.T) {
	t.Parallel()
	w := setup(t)
	form := func(back string) url.Values {
		return fields("email", "ada@example.test", "password", password, "return", back)
	}
	for back, location := range map[string]string{
		"/usage?period=7d": "/usage?period=7d", "": "/", "https://evil.example/": "/", "//evil.example": "/", "/\\evil.example": "/",
		"javascript:alert(1)": "/", "/sign-in": "/", "usage": "/",
	} {
		a := w.as("", "/sign-in", form(back))
		if a.status != http.StatusSeeOther || a.header.Get("Location") != location {
			t.Errorf("return %q: %d to %q, want %q", back, a.status, a.header.Get("Location"), location)
		}
		if a.header.Get("Set-Cookie") == "" {
			t.Error("no session was begun")
		}
	}
	a := w.as("", "/sign-in", fields("email", "ada@example.test", "password", "not it at all", "return", "/keys"))
	want(t, a, http.StatusUnprocessableEntity, `value="ada@example.test"`, `value="/keys"`, "role=\"alert\"")
	if strings.Contains(a.body, "not it at all") {
		t.Error("the password is written back")
	}
}

// B19: a set-up link works once, and looking at it does not use it.
func TestSetUp_B19_linkWorksOnce(t *testing.T) {
	t.Parallel()
	w := open(t)
	path := "/setup/" + w.SetUp
	want(t, w.as("", path, nil), http.StatusOK, "Set up Inventiv", "ada@example.test")
	want(t, w.as("", path, fields("password", "short", "organisation", "Atelier")), http.StatusUnprocessableEntity, `value="Atelier"`)
	a := w.as("", path, fields("password", password, "organisation", "Atelier Nord"))
	if a.status != http.StatusSeeOther || a.header.Get("Set-Cookie") == "" {
		t.Fatalf("set up: %d", a.status)
	}
	want(t, w.as("", path, nil), http.StatusGone, "What to do")
	want(t, w.as("", path, fields("password", password)), http.StatusGone)
	want(t, w.as("", "/setup/guessed", nil), http.StatusGone)
}

func TestErrors_sayWhatAndNameTheRequest(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, path := range []string{"/nowhere", "/instances/inst-00000000", "/deployments/" + w.Owner.UserID.String(), "/keys/none/revoke"} {
		a := w.get(path)
		want(t, a, http.StatusNotFound, "What to do", a.header.Get("X-Request-Id"), "<h1", `aria-label="Main"`)
	}
	if a := w.as("", "/nowhere", nil); a.status != http.StatusNotFound || strings.Contains(a.body, `aria-label="Main"`) {
		t.Errorf("a stranger at no page: %d, with a menu: %t", a.status, strings.Contains(a.body, `aria-label="Main"`))
	}
	a := w.as(w.Session, "/models", fields("name", "x"))
	want(t, a, http.StatusMethodNotAllowed, "This could not be done.", `aria-label="Main"`)
	user := w.Member(auth.User)
	want(t, w.as(user, "/deployments/new", nil), http.StatusForbidden, "You are not allowed to do this.")
	want(t, w.as(user, "/deployments", fields("name", "x")), http.StatusForbidden)
}

func TestEvents_streamResumesAndHeedsTheOrganisation(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.Hub.Publish(events.Event{Topic: events.Instance, Key: "ours-1", Organisation: w.Owner.Organisation})
	since := w.Hub.LastID()
	w.Hub.Publish(events.Event{Topic: events.Instance, Key: "ours-2", Organisation: w.Owner.Organisation})
	w.Hub.Publish(events.Event{Topic: events.Instance, Key: "theirs", Organisation: w.Owner.UserID})
	w.Hub.Publish(events.Event{Topic: events.Key, Key: "ours-3", Organisation: w.Owner.Organisation})

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/events/stream?since="+url.QueryEscape(since), nil)
	ok(t, err)
	req.Header.Set("Accept", "text/event-stream")
	req.AddCookie(w.Guard.Cookies.Set(w.Session))
	res, err := http.DefaultTransport.RoundTrip(req)
	ok(t, err)
	defer res.Body.Close()
	if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("%d %s", res.StatusCode, ct)
	}
	var seen []string
	lines := bufio.NewScanner(res.Body)
	for len(seen) < 2 && lines.Scan() {
		if data, is := strings.CutPrefix(lines.Text(), "data: "); is {
			seen = append(seen, data)
		}
	}
	if strings.Join(seen, " ") != "ours-2 ours-3" {
		t.Errorf("seen %v, want what came after %s and is ours", seen, since)
	}
}
