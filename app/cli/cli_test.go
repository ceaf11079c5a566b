package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/inventiv-it-for-ai/inventiv/app/api"
	"github.com/inventiv-it-for-ai/inventiv/app/cli"
)

// server is a JSON API that answers what a test has laid out. It refuses what
// the real one does not serve.
type server struct {
	*httptest.Server

	mu      sync.Mutex
	answers map[string]string // by method and path; the answer's status, a blank, its body
	seen    []string          // requests: method, path with query, body
}

func serve(t *testing.T, answers map[string]string) *server {
	t.Helper()
	var routes []*regexp.Regexp
	for _, r := range api.New(api.Config{}).Routes() {
		routes = append(routes, regexp.MustCompile("^"+r.Method+" "+regexp.MustCompile(`:[a-z]+`).ReplaceAllString(r.Path, "[^/]+")+"$"))
	}
	s := &server{answers: answers}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served := false
		for _, route := range routes {
			served = served || route.MatchString(r.Method+" "+r.URL.EscapedPath())
		}
		if !served {
			t.Errorf("the API does not serve %s %s", r.Method, r.URL.EscapedPath())
		}
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, strings.TrimSpace(r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), api.Base)+" "+string(body)))
		answer, known := s.answers[r.Method+" "+strings.TrimPrefix(r.URL.RequestURI(), api.Base)]
		s.mu.Unlock()
		if !known {
			answer = `404 {"title":"Not Found","status":404,"detail":"There is no such thing.","code":"not_found","fix":"Look.","request_id":"req-1"}`
		}
		status, text, _ := strings.Cut(answer, " ")
		code := map[string]int{"200": 200, "201": 201, "202": 202, "204": 204, "400": 400, "401": 401, "403": 403, "404": 404, "409": 409, "422": 422, "429": 429, "500": 500, "503": 503, "504": 504}[status]
		w.Header().Set("Content-Type", "application/json")
		if code >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(code)
		if _, err := io.WriteString(w, text); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) put(request, answer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[request] = answer
}

// result is what a command did.
type result struct {
	out, err string
	exit     int
}

// run runs a command line against the server at url.
func run(t *testing.T, url, line string, change ...func(*cli.Config)) result {
	t.Helper()
	return runIn(t, t.Context(), url, line, change...)
}

func runIn(t *testing.T, ctx context.Context, url, line string, change ...func(*cli.Config)) result { //nolint:revive // the test comes first
	t.Helper()
	var out, errs bytes.Buffer
	c := cli.Config{
		Version: "v1", Environ: []string{"INVENTIV_URL=" + url, "INVENTIV_API_KEY=sk-inv-secret", "HOME=/nowhere"},
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
	}
	for _, f := range change {
		f(&c)
	}
	root := &cobra.Command{Use: "inventiv", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(cli.Commands(c)...)
	root.SetArgs(strings.Fields(line))
	root.SetOut(&out)
	root.SetErr(&errs)
	err := root.ExecuteContext(ctx)
	r := result{out: out.String(), exit: exitOf(t, err)}
	if f, ok := errors.AsType[*cli.Failure](err); ok {
		f.Write(&errs)
	}
	r.err = errs.String()
	if strings.Contains(r.out+r.err, "sk-inv-secret") || strings.Contains(r.out+r.err, "goroutine") {
		t.Errorf("%s shows what it must not: %s%s", line, r.out, r.err)
	}
	return r
}

// exitOf is the exit code of a command's error.
func exitOf(t *testing.T, err error) int {
	t.Helper()
	f, ok := errors.AsType[*cli.Failure](err)
	if err != nil && !ok {
		t.Fatalf("the error %v is not a failure", err)
	}
	if !ok {
		return 0
	}
	return int(f.Exit)
}

const (
	chat      = `{"id":"d1","name":"chat","model":"m","ready":1,"replicas":{"min":1,"max":2},"stopped":false,"offers":["a/b/c"],"message":""}`
	instance1 = `{"id":"i1","name":"inst-00000001","deployment":"chat","state":"ready","progress":100,"price_per_hour":"0.7875","cost":"1.23","steps":[{"step":"requested","title":"Requested","generation":1,"started_at":"2026-11-24T01:00:00Z","ended_at":"2026-11-24T01:00:01.5Z","failed":false,"detail":""}]}`
	stray     = `{"instance_id":"u1","provider":"mock","zone":"local-1","kind":"server","provider_id":"s1","description":"L4-1-24G","created_at":"2026-11-24T01:00:00Z"}`
	record    = `{"request_id":"r1","started_at":"2026-11-24T01:00:00.123Z","model":"m","status":"completed","http_status":200,"prompt_tokens":10,"completion_tokens":3,"cost":"0.0000042","duration_ms":12.5}`
)

func items(list ...string) string { return `200 {"items":[` + strings.Join(list, ",") + `]}` }

const keyLimits = `200 {"level":"key","id":"k1","requests_per_minute":60,"models":["a/b"],"budget":"5.00","period":"month","spent":"1.25"}`

func TestVerbs_askTheAPIAndShowTheAnswer(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("their-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, map[string]string{
		"GET /deployments": items(chat), "GET /deployments/chat": "200 " + chat, "POST /deployments": "201 " + chat,
		"POST /deployments/chat/scale": "200 " + chat, "POST /deployments/chat/stop": "200 " + chat, "POST /deployments/chat/start": "200 " + chat,
		"DELETE /deployments/chat": "204 ",
		"GET /instances":           items(instance1), "GET /instances?state=ready": items(), "GET /instances/inst-00000001": "200 " + instance1,
		"POST /instances/inst-00000001/terminate": "202 " + instance1, "POST /instances/inst-00000001/retry": "202 " + instance1,
		"GET /instances/inst-00000001/logs?source=agent&tail=2": `200 {"source":"agent","lines":["one","t\u001b[31mwo"]}`,
		"GET /instances/inst-00000001/metrics":                  `200 {"requests":4,"prompt_tokens":5,"completion_tokens":6,"cost":"0.01","samples":[]}`,
		"GET /strays":                                           items(stray), "DELETE /strays/u1": items(),
		"GET /nodes":     items(`{"instance":"inst-00000001","connectivity":"online","heartbeat":{"engine":{"state":"ready"}}}`),
		"GET /endpoints": items(), "POST /endpoints": `201 {"name":"e","model":"m","url":"http://x/v1","state":"unknown","keyed":true}`, "DELETE /endpoints/e": "204 ",
		"GET /models": items(`{"name":"Qwen/Q","kind":"chat","price":{"input":"0.20","output":"0.40"}}`), "GET /models/Qwen%2FQ": `200 {"name":"Qwen/Q"}`,
		"GET /routes": items(`{"model":"Qwen/Q","state":"set_aside","reason":"Its only replica …","fallback":["a/b","c/d"],"replicas":[{"name":"e","kind":"endpoint","ejected":true,"cause":"stalled","why":"set aside by the gateway: it has work and generates nothing","in_flight":3}]}`,
			`{"model":"zzz","state":"sleeping","fallback":[],"replicas":[]}`),
		"GET /aliases": items(`{"name":"fast","model":"Qwen/Q"}`), "POST /aliases": `201 {"name":"team/fast","model":"Qwen/Q"}`, "DELETE /aliases/team%2Ffast": "204 ",
		"PUT /models/Qwen%2FQ/fallback": `200 {"model":"Qwen/Q","state":"ready","fallback":["a/b"],"replicas":[]}`,
		"PUT /models/Qwen%2FQ/price":    `200 {"name":"Qwen/Q"}`, "GET /offers?model=Qwen%2FQ": items(`{"offer":"a/b/c","price_per_hour":"1.469916"}`),
		"GET /keys": items(`{"id":"k1","name":"n","scopes":["inference","admin"],"state":"active"}`), "POST /keys": `201 {"id":"k1","key":"sk-inv-new","name":"n"}`, "DELETE /keys/k1": "204 ",
		"GET /audit?limit=1000": `200 {"items":[],"next_cursor":""}`,
		"GET /audit?limit=100": `200 {"items":[{"id":2,"at":"2026-11-24T01:00:00Z","actor":"user:u1","actor_name":"ada@example.test","action":"key.revoke","object":"k1",` +
			`"object_name":"n","detail":{"scopes":["inference"],"name":"n"},"ip":"192.0.2.7","request_id":"r"},{"id":1,"at":"2026-11-24T00:00:00Z","actor_name":"bot",` +
			`"action":"alias.add","object":"fast","object_name":"","detail":{"model":"m"}}],"next_cursor":""}`,
		"GET /keys/k1/limits": keyLimits, "PUT /keys/k1/limits": keyLimits, "PUT /keys/k1/networks": "204 ", "GET /limits": items(`{"level":"organisation","id":"o1"}`),
		"GET /members":           items(`{"id":"m1","email":"ada@example.test","name":"Ada","role":"owner","joined_at":"2026-11-24T01:00:00Z"}`),
		"GET /members/m1/limits": `200 {"level":"member","id":"m1"}`, "PUT /members/m1/limits": `200 {"level":"member","id":"m1"}`,
		"GET /organisation/limits": `200 {"level":"organisation","id":"o1"}`, "PUT /organisation/limits": `200 {"level":"organisation","id":"o1"}`,
		"GET /usage/summary":                      `200 {"requests":7,"prompt_tokens":8,"completion_tokens":9,"cost":"0.5","interrupted":0,"from":"x","to":"y"}`,
		"GET /usage/records?limit=1000":           `200 {"items":[` + record + `],"next_cursor":"c1"}`,
		"GET /usage/records?cursor=c1&limit=1000": `200 {"items":[` + record + `],"next_cursor":""}`,
		"GET /usage/records?error=client_gone&key=k1&limit=1000&member=u1&min_duration_ms=5&min_first_token_ms=2&model=m&path=%2Fv1%2Frerank&retried=true&upstream=i1": `200 {"items":[],"next_cursor":""}`,
		"GET /usage/records?limit=1000&request_id=r1": `200 {"items":[` + record + `],"next_cursor":""}`,
		"GET /usage/records?limit=1&status=completed": `200 {"items":[` + record + `],"next_cursor":"c1"}`,
		"GET /costs/current":                          `200 {"burn_rate":"0.7875","month_to_date":"12.3","forecast":"99","at":"2026-11-24T01:00:00Z"}`,
		"GET /costs/charges?from=2026-01-01":          items(`{"instance":"inst-00000001","amount":"1.5","started_at":"2026-11-24T01:00:00Z"}`),
		"GET /costs/days?to=2026-02-01":               items(`{"date":"2026-01-31","amount":"1.5"}`),
	})
	for _, c := range []struct {
		line string
		in   []string // in the output
		sent string   // the last request, when it matters
	}{
		{"deployments list", []string{"NAME  ", "READY  WANTED", "chat  m      1      1-2 "}, ""},
		{"deployments get chat", []string{"NAME:", "chat"}, ""},
		{"deployments create chat --model m --offer a/b/c --offer d/e/f", []string{"chat"}, `POST /deployments {"model":"m","name":"chat","offers":["a/b/c","d/e/f"],"replicas":{"max":1,"min":1},"volume_gb":0}`},
		{"deployments scale chat --min 2 --max 5", []string{"chat"}, `POST /deployments/chat/scale {"max":5,"min":2}`},
		{"deployments scale chat --min 3", []string{"chat"}, `POST /deployments/chat/scale {"max":3,"min":3}`},
		{"deployments scale chat --min 2 --max 1", nil, `POST /deployments/chat/scale {"max":1,"min":2}`}, // the server refuses it
		{"deployments scale chat --min 0 --max 1 --idle-minutes 0", []string{"chat"}, `POST /deployments/chat/scale {"idle_minutes":0,"max":1,"min":0}`},
		{"deployments stop chat", nil, "POST /deployments/chat/stop"},
		{"deployments start chat", nil, "POST /deployments/chat/start"},
		{"deployments delete chat --yes", []string{"done"}, "DELETE /deployments/chat"},
		{"instances list", []string{"100%", "0.7875", "1.23"}, ""},
		{"instances list --state ready -o json", []string{"[]\n"}, ""},
		{"instances get inst-00000001", []string{"requested", "1.5s"}, ""},
		{"instances terminate inst-00000001 -y", nil, "POST /instances/inst-00000001/terminate"},
		{"instances retry inst-00000001", nil, "POST /instances/inst-00000001/retry"},
		{"instances logs inst-00000001 --source agent --tail 2", []string{"one\n", "t?[31mwo\n"}, ""},
		{"instances metrics inst-00000001", []string{"REQUESTS:", "4"}, ""},
		{"instances strays", []string{"u1", "L4-1-24G"}, ""},
		{"instances delete-stray u1 -y", []string{"INSTANCE"}, "DELETE /strays/u1"},
		{"nodes list", []string{"online", "ready"}, ""},
		{"endpoints list", []string{"NAME"}, ""},
		{"endpoints add e --model m --url http://x/v1 --key-file " + key, []string{"e"}, `POST /endpoints {"key":"their-key","model":"m","name":"e","url":"http://x/v1"}`},
		{"endpoints remove e --yes", nil, "DELETE /endpoints/e"},
		{"models list", []string{"Qwen/Q", "0.20", "0.40"}, ""},
		{"models get Qwen/Q", []string{"Qwen/Q"}, ""},
		{"models price Qwen/Q --input 0.1 --out 0.2", nil, `PUT /models/Qwen%2FQ/price {"input":"0.1","output":"0.2"}`},
		{"models offers Qwen/Q", []string{"1.469916"}, ""},
		{"models routes", []string{"set_aside", "  it has work and generates nothing", "a/b,c/d", "zzz", "sleeping"}, ""},
		{"models routes -o json", []string{`"cause": "stalled"`}, ""},
		{"models fallback Qwen/Q --to a/b --to c/d", []string{"then a/b, c/d"}, `PUT /models/Qwen%2FQ/fallback {"models":["a/b","c/d"]}`},
		{"models fallback Qwen/Q", []string{"no fallback"}, `PUT /models/Qwen%2FQ/fallback {"models":[]}`},
		{"models alias list", []string{"fast", "Qwen/Q"}, ""},
		{"models alias add team/fast --model Qwen/Q", []string{"team/fast"}, `POST /aliases {"model":"Qwen/Q","name":"team/fast"}`},
		{"models alias remove team/fast --yes", []string{"done"}, "DELETE /aliases/team%2Ffast"},
		{"keys list", []string{"inference,admin"}, ""},
		{"keys create n --scope admin", []string{"sk-inv-new\n"}, `POST /keys {"name":"n","scopes":["admin"]}`},
		{"keys create n --network 10.0.0.0/8", []string{"sk-inv-new\n"}, `POST /keys {"name":"n","networks":["10.0.0.0/8"],"scopes":["inference"]}`},
		{"keys networks k1 --network 10.0.0.0/8", nil, `PUT /keys/k1/networks {"networks":["10.0.0.0/8"]}`},
		{"keys networks k1", nil, `PUT /keys/k1/networks {"networks":[]}`},
		{"keys limit k1", []string{"REQUESTS/MIN:", "60", "a/b"}, "GET /keys/k1/limits"},
		{"keys limit k1 --tpm 5000 --budget none", nil, `PUT /keys/k1/limits {"models":["a/b"],"requests_per_minute":60,"tokens_per_minute":5000}`},
		{"keys limit k1 --rpm 0 --model all --period day", nil, `PUT /keys/k1/limits {"budget":"5.00","models":[],"period":"day","requests_per_minute":0}`},
		{"limits member m1 --concurrency 2 --max-tokens 100 --model x", nil, `PUT /members/m1/limits {"concurrency":2,"max_tokens":100,"models":["x"]}`},
		{"limits organisation --budget 25", nil, `PUT /organisation/limits {"budget":"25"}`},
		{"members list", []string{"EMAIL", "ada@example.test", "owner"}, "GET /members"},
		{"limits list", []string{"LEVEL", "organisation"}, ""},
		{"keys revoke k1 --yes", nil, "DELETE /keys/k1"},
		{"usage summary", []string{"REQUESTS:", "7"}, ""},
		{"usage records", []string{"0.0000042", "r1"}, "GET /usage/records?cursor=c1&limit=1000"},
		{"usage records --request-id r1", []string{"FIRST MS", "r1"}, "GET /usage/records?limit=1000&request_id=r1"},
		{
			"usage records --error client_gone --key k1 --member u1 --min-duration-ms 5 --min-first-token-ms 2 --model m --path /v1/rerank --upstream i1 --retried true", []string{"REQUEST"},
			"GET /usage/records?error=client_gone&key=k1&limit=1000&member=u1&min_duration_ms=5&min_first_token_ms=2&model=m&path=%2Fv1%2Frerank&retried=true&upstream=i1",
		},
		{"audit list", []string{"WHO", "ada@example.test", "key.revoke  n ", "id=k1 scopes=[inference]", "192.0.2.7", "alias.add   fast", "model=m"}, "GET /audit?limit=100"},
		{"audit list --limit all", nil, "GET /audit?limit=1000"},
		{"usage records --limit 1 --status completed", []string{"r1"}, "GET /usage/records?limit=1&status=completed"},
		{"costs current", []string{"0.7875", "99"}, ""},
		{"costs charges --from 2026-01-01", []string{"1.5"}, ""},
		{"costs days --to 2026-02-01", []string{"2026-01-31"}, ""},
	} {
		r := run(t, s.URL, c.line)
		if r.exit != 0 {
			t.Errorf("%s: exit %d, %s", c.line, r.exit, r.err)
		}
		for _, in := range c.in {
			if !strings.Contains(r.out, in) {
				t.Errorf("%s: wrote %q, want %q in it", c.line, r.out, in)
			}
		}
		if got := s.seen[len(s.seen)-1]; c.sent != "" && got != c.sent {
			t.Errorf("%s: sent\n%s\nwant\n%s", c.line, got, c.sent)
		}
	}
}

func TestUsage_asJSONForPrograms(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET /usage/summary":                      `200 {"requests":7,"prompt_tokens":9007199254740993,"completion_tokens":9,"cost":"0.000000001","interrupted":0,"from":"x","to":"y"}`,
		"GET /usage/records?limit=1000":           `200 {"items":[` + record + `],"next_cursor":"c1"}`,
		"GET /usage/records?cursor=c1&limit=1000": `200 {"items":[` + record + `],"next_cursor":""}`,
	})
	var got map[string]json.RawMessage
	if err := json.Unmarshal([]byte(run(t, s.URL, "usage summary -o json").out), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]json.RawMessage{
		"requests": json.RawMessage("7"), "prompt_tokens": json.RawMessage("9007199254740993"), "completion_tokens": json.RawMessage("9"), "cost": json.RawMessage(`"0.000000001"`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summary (-want +got)\n%s", diff)
	}
	var records []map[string]any
	if err := json.Unmarshal([]byte(run(t, s.URL, "usage records -o json").out), &records); err != nil || len(records) != 2 {
		t.Errorf("records: %v, %d of them; want both pages", err, len(records))
	}
}

func TestB42_whatGoesWrongSaysWhatToDo(t *testing.T) {
	t.Parallel()
	problem := func(status, code string) string {
		return status + ` {"title":"x","status":` + status + `,"detail":"It was refused.","code":"` + code + `","fix":"Do this.","request_id":"req-9"}`
	}
	s := serve(t, map[string]string{
		"GET /keys": problem("401", "key_expired"), "GET /models": problem("403", "scope_missing"), "GET /nodes": problem("503", "database_unavailable"),
		"GET /instances": problem("500", "internal"), "GET /endpoints": problem("429", "throttled"), "GET /costs/current": problem("504", "timeout"),
		"POST /deployments":             `422 {"title":"x","status":422,"detail":"Several fields cannot be accepted; see each of them.","code":"invalid","request_id":"req-9","errors":[{"pointer":"/name","detail":"Bad name."},{"pointer":"/offers","detail":"No offer.","fix":"Use a/b/c."}]}`,
		"POST /deployments/full/start":  problem("409", "out_of_stock"),
		"POST /deployments/taken/start": problem("409", "name_taken"),
		"GET /keys/k1/limits":           `200 {"level":"key","id":"k1"}`,
		"GET /usage/summary":            "200 <html>not json</html>",
	})
	missing := filepath.Join(t.TempDir(), "missing")
	noKey := func(c *cli.Config) { c.Environ = []string{"INVENTIV_URL=" + s.URL, "HOME=/nowhere"} }
	torn := func(c *cli.Config) { c.Environ = append(c.Environ, "INVENTIV_API_KEY=sk-inv-two\nlines") }
	unknown := func(c *cli.Config) { c.Environ = append(c.Environ, "INVENTIV_APIKEY=x") }
	for _, c := range []struct {
		line   string
		exit   int
		says   []string
		change func(*cli.Config)
	}{
		{"deployments lst", 2, []string{`error: There is no command "inventiv deployments lst"`, "fix: Did you mean list"}, nil},
		{"deployments frobnicate", 2, []string{"fix: See inventiv deployments --help."}, nil},
		{"deployments list --jsn", 2, []string{"error: Unknown flag: --jsn."}, nil},
		{"deployments list -o yaml", 2, []string{`There is no output "yaml"`, "table or json"}, nil},
		{"deployments get", 2, []string{"error: NAME is missing.", "fix: Write inventiv deployments get NAME."}, nil},
		{"deployments get a b", 2, []string{`"b" is one argument too many`}, nil},
		{"deployments create x --offer a/b/c", 2, []string{"error: --model is missing."}, nil},
		{"deployments scale x --min many", 2, []string{"error: Invalid argument"}, nil},
		{"deployments create x --model m --offer a", 2, []string{"why: /name: Bad name.", "/offers: No offer. Use a/b/c.", "request: req-9"}, nil},
		{"endpoints add e --model m --url u --key-file " + missing, 2, []string{"cannot be read: no such file"}, nil},
		{"deployments delete x", 2, []string{"nobody is there to be asked", "--yes"}, nil},
		{"deployments scale x --idle-minutes 30", 2, []string{"error: --min is missing."}, nil},
		{"keys limit k1 --period day", 2, []string{"There is no budget", "--budget 25.00"}, nil},
		{"deployments list", 2, []string{"INVENTIV_APIKEY"}, unknown},
		{"deployments list", 3, []string{"There is no API key", "fix: Set INVENTIV_API_KEY"}, noKey},
		{"deployments list", 3, []string{"The API key has a line break", "in one line", "code: malformed_api_key"}, torn},
		{"keys list", 3, []string{"error: It was refused.", "fix: Do this.", "code: key_expired", "request: req-9"}, nil},
		{"models list", 3, []string{"code: scope_missing"}, nil},
		{"deployments get nothing", 4, []string{"error: There is no such thing.", "fix: Look.", "code: not_found", "request: req-1"}, nil},
		{"deployments start taken", 5, []string{"code: name_taken"}, nil},
		{"deployments start full", 6, []string{"code: out_of_stock"}, nil},
		{"endpoints list", 6, []string{"code: throttled"}, nil},
		{"costs current", 7, []string{"code: timeout"}, nil},
		{"nodes list", 8, []string{"code: database_unavailable"}, nil},
		{"instances list", 1, []string{"code: internal"}, nil},
		{"usage summary", 8, []string{"is not an Inventiv server", "fix: Check INVENTIV_URL."}, nil},
	} {
		change := c.change
		if change == nil {
			change = func(*cli.Config) {}
		}
		r := run(t, s.URL, c.line, change)
		if r.exit != c.exit || r.out != "" {
			t.Errorf("%s: exit %d, output %q, %s; want exit %d and no output", c.line, r.exit, r.out, r.err, c.exit)
		}
		for _, in := range c.says {
			if !strings.Contains(r.err, in) {
				t.Errorf("%s: says\n%swant %q in it", c.line, r.err, in)
			}
		}
	}
}

func TestWait_showsStepsAndReturnsWhenItServes(t *testing.T) {
	t.Parallel()
	starting := strings.Replace(chat, `"ready":1`, `"ready":0`, 1)
	s := serve(t, map[string]string{
		"POST /deployments": "201 " + starting, "GET /deployments/chat": "200 " + starting,
		"GET /instances?deployment=chat": items(instance1), "GET /instances/inst-00000001": "200 " + instance1,
	})
	time.AfterFunc(500*time.Millisecond, func() { s.put("GET /deployments/chat", "200 "+chat) })
	r := run(t, s.URL, "deployments create chat --model m --offer a/b/c --wait")
	if r.exit != 0 || strings.Count(r.err, "Requested") != 1 || !strings.Contains(r.err, "1.5s") || !strings.Contains(r.out, "READY:    1\n") {
		t.Errorf("exit %d, steps %q, output %q", r.exit, r.err, r.out)
	}

	failed := strings.Replace(instance1, `"state":"ready"`, `"state":"provisioning_failed","reason":"out_of_stock","message":"No machine is left."`, 1)
	s.put("GET /deployments/chat", "200 "+starting)
	s.put("GET /instances?deployment=chat", items(failed))
	s.put("GET /instances/inst-00000001", "200 "+failed)
	if r := run(t, s.URL, "deployments create chat --model m --offer a/b/c --wait"); r.exit != 6 || !strings.Contains(r.err, "why: No machine is left.") {
		t.Errorf("out of stock: exit %d, %s", r.exit, r.err)
	}
	s.put("GET /instances?deployment=chat", items())
	if r := run(t, s.URL, "deployments create chat --model m --offer a/b/c --wait --wait-timeout 50ms"); r.exit != 7 || !strings.Contains(r.err, "code: timeout") {
		t.Errorf("no end: exit %d, %s", r.exit, r.err)
	}
	s.put("GET /deployments/chat", "200 "+strings.Replace(starting, `"message":""`, `"reason":"asleep","message":"It sleeps."`, 1))
	if r := run(t, s.URL, "deployments create chat --model m --offer a/b/c --min 0 --wait"); r.exit != 0 || !strings.Contains(r.out, "It sleeps.") {
		t.Errorf("asleep: exit %d, %s %s", r.exit, r.out, r.err)
	}
}

func TestConfirm_asksWhoIsThere(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"DELETE /deployments/chat": "204 "})
	for answer, exit := range map[string]int{"y\n": 0, "YES": 0, "n\n": 1, "\n": 1, "": 1} {
		r := run(t, s.URL, "deployments delete chat", func(c *cli.Config) { c.Terminal, c.Stdin = true, strings.NewReader(answer) })
		if r.exit != exit || !strings.Contains(r.err, "This will delete the deployment chat. Go on?") {
			t.Errorf("answer %q: exit %d, %s; want %d", answer, r.exit, r.err, exit)
		}
	}
}

func TestCompletion_namesWhatThereIs(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"GET /deployments": items(chat)})
	if r := run(t, s.URL, "__complete deployments get c"); !strings.Contains(r.out, "chat\n") {
		t.Errorf("completion: %q", r.out)
	}
}

func TestLimit_showsWhatHoldsAfterAChange(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"GET /keys/k1/limits": keyLimits, "PUT /keys/k1/limits": `200 {"level":"key","id":"k1","tokens_per_minute":5000}`,
	})
	got := run(t, s.URL, "keys limit k1 --rpm 0 --tpm 5000 --model all --budget none -o json").out
	if want := `{"id":"k1","level":"key","tokens_per_minute":5000}`; strings.Join(strings.Fields(got), "") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
