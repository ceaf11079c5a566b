package views_test

import (
	"time"

	"github.com/inventiv-it-for-ai/inventiv/views"
)

// fixtures is every page of the console, in each of its shapes that differ.
func fixtures() []fixture {
	wrong := views.Refusal{Text: "“Qwen” is not a name.", Fix: "Use small letters, digits and hyphens.", Field: "name", RequestID: "req-0193a1c2"}
	refused := deploy()
	refused.Refusal = wrong
	refused.Name = "Qwen"
	keys := views.Keys{
		May: all, Form: views.KeyForm{Scope: "inference", Expires: "90"},
		Rows: []views.KeyRow{
			{ID: "k1", Name: "marketing-bot", Shown: "sk-inv-4fGh2kLm9Q…", Owner: "ada@atelier.example", Scopes: []string{"inference"}, State: "active", Created: ago(900 * time.Hour), Expires: time.Now().Add(1200 * time.Hour), LastUsed: ago(4 * time.Second)},
			{ID: "k2", Name: "terraform", Shown: "sk-inv-Zz81hGq0aB…", Owner: "owner@atelier.example", Scopes: []string{"admin"}, State: "active", Created: ago(90 * time.Hour), LastUsed: ago(3 * time.Hour)},
			{ID: "k3", Name: "old-laptop", Shown: "sk-inv-77aPw3nXcV…", Owner: "ada@atelier.example", Scopes: []string{"inference"}, State: "revoked", Created: ago(2000 * time.Hour)},
		},
	}
	made := keys
	made.Made = &views.MadeKey{Name: "search", Secret: "sk-inv-4fGh2kLm9Q-00000000000000000000000000000000000000000000000000", BaseURL: "https://inventiv.example/v1", Model: "qwen2.5-32b"}
	members := views.Members{
		Organisation: "Atelier Nord", Roles: views.Roles, May: all, Form: views.MemberForm{Role: "user"},
		Rows: []views.MemberRow{
			{ID: "u1", Email: "owner@atelier.example", Name: "Olivia Nord", Role: "owner", State: "active", LastSeen: ago(time.Second), You: true},
			{ID: "u2", Email: "ada@atelier.example", Role: "admin", State: "active", LastSeen: ago(3 * time.Hour), Editable: true},
			{ID: "u3", Email: "grace@atelier.example", Role: "user", State: "invited", Editable: true},
		},
		Invited: &views.Invitation{Email: "grace@atelier.example", URL: "https://inventiv.example/setup/8c1f…", Expires: time.Now().Add(72 * time.Hour)},
	}
	endpoints := views.Endpoints{
		May: all,
		Rows: []views.EndpointRow{
			{ID: "e1", Name: "office-server", Model: "Qwen/Qwen2.5-7B-Instruct", URL: "https://gpu.atelier.example/v1", State: "reachable", Keyed: true, Checked: ago(4 * time.Second)},
			{ID: "e2", Name: "lab", Model: "mistral-small", URL: "https://lab.atelier.example:8000/v1", State: "unreachable", Message: "connection refused since 21:40", Checked: ago(2 * time.Second)},
		},
	}
	models := views.Models{May: all, Aliases: []views.AliasRow{{Name: "fast", Model: "meta-llama/Llama-3.1-8B-Instruct"}}, Rows: []views.ModelRow{
		{ID: "m0", Name: "inventiv/simulated-chat", Kind: "chat", Context: 8192, Input: eur("0.10"), Output: eur("0.40"), Priced: true, Ready: 1, Simulated: true},
		{ID: "m2", Name: "meta-llama/Llama-3.1-8B-Instruct", Kind: "chat", VRAM: 20, Context: 131072, Input: eur("0.15"), Output: eur("0.60"), Priced: true, Ready: 1},
		{ID: "m4", Name: "mistralai/Mixtral-8x7B-Instruct-v0.1", Kind: "chat", VRAM: 96, Context: 32768, Input: eur("0.45"), Output: eur("0.70"), Priced: true},
		{ID: "m5", Name: "mistral-small", Kind: "chat", Own: true},
	}}
	loops := views.Loops{May: all, Process: "serve-7c1", Version: "1.0.0", Rows: []views.LoopRow{
		{Name: "reconcile", What: "moves instances towards what is wanted", State: "well", Period: time.Second, Last: ago(time.Second), Took: 4 * time.Millisecond, Passes: 12841, Moved: 421},
		{Name: "meter", What: "turns resources into charges", State: "failing", Period: 5 * time.Second, Last: ago(3 * time.Second), Took: 12 * time.Millisecond, Passes: 3120, Moved: 88, Failures: 3, Err: "read resources: connection refused"},
		{Name: "retention", What: "drops what is older than promised", State: "well", Period: time.Hour, Last: ago(20 * time.Minute), Took: 31 * time.Millisecond, Passes: 9},
	}}
	account := views.Account{Email: "owner@atelier.example", Role: "owner", Organisation: "Atelier Nord", Done: "The password was changed; two other sessions were ended.", Sessions: []views.SessionRow{
		{ID: "s1", Browser: "Firefox on Linux", IP: "198.51.100.7", Created: ago(5 * time.Hour), LastSeen: ago(2 * time.Second), Current: true},
		{ID: "s2", Browser: "Safari on iPhone", IP: "198.51.100.8", Created: ago(50 * time.Hour), LastSeen: ago(9 * time.Hour)},
	}}
	narrow := requests()
	narrow.Filter = views.RequestFilter{Period: "7d", Model: "fast", Upstream: "i1", Error: "client_gone", Before: "AAAA"}
	narrow.Upstream = "inst-c41e07b2"
	deployment := views.Deployment{Row: deploymentRows()[1], Instances: rows()[1:3], Snippets: snippets, May: all, Offers: []views.OfferLine{
		{Name: "L40S-1-48G", Where: "Scaleway, fr-par-2", Stock: "available", PerHour: eur("1.4")},
		{Name: "L40S-1-48G", Where: "Scaleway, pl-waw-2", Stock: "scarce", PerHour: eur("1.4")},
	}}
	typed := views.ConfirmVerb("terminate", "i1", "inst-7f2a91c4")
	typed.Refusal = views.Refusal{Text: "What you typed is not inst-7f2a91c4.", Fix: "Type the name exactly.", Field: "confirm"}
	mine := usage()
	mine.By, mine.May.Costs = "model", false
	return []fixture{
		{"home", home(), "/"},
		{"home-first", firstHome(), "/"},
		{"deployments", views.Deployments{Rows: deploymentRows(), May: all}, "/deployments"},
		{"deployments-empty", views.Deployments{May: all}, "/deployments"},
		{"deploy", deploy(), "/deployments"},
		{"deploy-first", views.Deploy{Models: deploy().Models, Min: 1, Max: 1, May: all}, "/deployments"},
		{"deploy-refused", refused, "/deployments"},
		{"deployment", deployment, "/deployments"},
		{"instances", views.Instances{Rows: rows(), Filter: "running", Running: 4, PerHour: eur("4.41"), May: all}, "/instances"},
		{"instances-empty", views.Instances{May: all}, "/instances"},
		{"instance", instance(), "/instances"},
		{"instance-ready", readyInstance(), "/instances"},
		{"instance-failed", failedInstance(), "/instances"},
		{"terminate", typed, "/instances"},
		{"models", models, "/models"},
		{"price", views.Price{ID: "m2", Name: "meta-llama/Llama-3.1-8B-Instruct", Input: "0.15", Output: "0.60", From: "the platform's price list"}, "/models"},
		{"limits", views.Limits{
			Path: "/keys/k1/limits", Back: "/keys", List: "API keys", Whose: "the key marketing-bot", Key: true, Budget: eur("25"), Spent: eur("3.141592653"),
			Form:    views.LimitForm{Requests: "60", Models: "a/b, c/d", Budget: "25.00", Period: "day", Networks: "10.0.0.0/8"},
			Refusal: views.Refusal{Text: "“x” is not a whole number.", Fix: "Leave it empty for no limit.", Field: "concurrency"},
		}, "/keys"},
		{"fallback", views.Fallback{ID: "m2", Name: "meta-llama/Llama-3.1-8B-Instruct", Models: "Qwen/Qwen2.5-7B-Instruct", Others: []string{"Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-32B-Instruct"}}, "/models"},
		{"endpoints", endpoints, "/endpoints"},
		{"endpoints-empty", views.Endpoints{May: all}, "/endpoints"},
		{"playground", views.Playground{Models: []views.PlayModel{{Name: "qwen2.5-32b", Input: eur("0.20"), Output: eur("0.60")}, {Name: "llama-3.1-8b", Input: eur("0.15"), Output: eur("0.60")}}, Model: "qwen2.5-32b", BaseURL: "https://inventiv.example/v1", Person: "owner@atelier.example", May: all}, "/playground"},
		{"playground-empty", views.Playground{May: all, Person: "owner@atelier.example"}, "/playground"},
		{"keys", keys, "/keys"},
		{"keys-made", made, "/keys"},
		{"keys-empty", views.Keys{May: all}, "/keys"},
		{"members", members, "/members"},
		{"usage", usage(), "/usage"},
		{"usage-mine", mine, "/usage"},
		{"usage-empty", views.Usage{Period: "24h", By: "model", Words: "in the last 24 hours", May: all}, "/usage"},
		{"requests", requests(), "/requests"},
		{"requests-narrow", narrow, "/requests"},
		{"requests-empty", views.Requests{Filter: views.RequestFilter{Period: "24h"}, Words: "in the last 24 hours", May: all}, "/requests"},
		{"requests-refused", views.Requests{Filter: views.RequestFilter{Period: "24h", MinDuration: "x"}, Refusal: views.Refusal{Text: "This is no number.", Field: "min_duration_ms"}}, "/requests"},
		{"request", views.Request{Row: records()[0], May: all}, "/requests"},
		{"request-cut", views.Request{Row: records()[1], May: all}, "/requests"},
		{"loops", loops, "/loops"},
		{"audit", views.Audit{Rows: []views.AuditRow{
			{At: ago(time.Minute), Who: "marketing-bot", Key: true, Action: "deployment.wake", Object: "llama", Detail: "model=llama-3.1-8b", IP: "198.51.100.7"},
			{At: ago(time.Hour), Who: "ada@atelier.example", Action: "member.change_role", Object: "grace@atelier.example", Detail: "from=user to=admin", IP: "198.51.100.8"},
		}, Before: "9", Older: "7", Days: 400, May: all}, "/audit"},
		{"audit-end", views.Audit{Before: "1", May: all}, "/audit"},
		{"account", account, "/account"},
		{"login", views.Login{}, ""},
		{"login-refused", views.Login{Email: "owner@atelier.example", Refusal: views.Refusal{Text: "E-mail address and password do not match.", Fix: "Try again, or ask for a reset link."}}, ""},
		{"setup", views.SetUp{Purpose: "setup", Email: "admin@inventiv.local", Founds: true, Action: "/setup/abc"}, ""},
		{"invite", views.SetUp{Purpose: "invite", Email: "grace@atelier.example", Role: "user", Organisation: "Atelier Nord", Action: "/setup/def"}, ""},
		{"problem-404", views.ProblemOf(404, "0193a1c2-77aa"), "/"},
		{"problem-403", views.ProblemOf(403, "0193a1c2-77aa"), "/"},
		{"problem-500", views.ProblemOf(500, "0193a1c2-77aa"), ""},
	}
}
