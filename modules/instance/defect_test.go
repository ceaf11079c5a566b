package instance_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// A late step of the start-up never undoes what came after it: here an owner's
// wish arrives while the step that completes the creation is being settled.
func TestDefect02_aLateStepDoesNotUndoTheOwnersWish(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	w.deploy(t, "chat", 1, 1)
	if _, err := w.ScalePass(ctx); err != nil {
		t.Fatal(err)
	}
	claims, err := w.Claim(ctx, 1)
	if err != nil || len(claims) != 1 {
		t.Fatalf("Claim = %d, %v", len(claims), err)
	}
	w.mustDelete(t, "chat")
	if err := w.SettleReady(ctx, claims[0]); err != nil {
		t.Fatalf("settle = %v", err)
	}
	if due := scalar[bool](t, w.pool, `SELECT due_at <= now() AND desired = 'terminated' FROM instance.instances`); !due {
		t.Error("the step put the owner's wish off or undid it")
	}
	w.run(t)
	eventually(t, 10*time.Second, "it is terminated", func() bool { return len(w.list(t, instance.Terminated)) == 1 })
}

// Every word that the code writes is one that the table takes.
func TestDefect03_theTablesTakeEveryWordWeWrite(t *testing.T) {
	t.Parallel()
	tx := dbtest.Tx(t)
	words := map[string][]string{
		"instances_state_check":        nil,
		"instances_desired_check":      {"ready", "replaced", "drained", "terminated"},
		"instances_connectivity_check": {string(instance.Online), string(instance.Suspect), string(instance.Lost)},
		"instances_eligibility_check":  {string(instance.Eligible), string(instance.Cordoned)},
		"operations_status_check": {
			string(instance.OpPlanned), string(instance.OpSent), string(instance.OpConfirmed), string(instance.OpAbsent), string(instance.OpAmbiguous),
		},
		"operations_kind_check": {
			string(instance.OpCreateServer), string(instance.OpPowerOn), string(instance.OpInstall), string(instance.OpDeleteServer), string(instance.OpDeleteResource),
		},
		"resources_kind_check": {string(instance.KindServer), string(instance.KindVolume), string(instance.KindAddress)},
	}
	for _, s := range instance.States() {
		words["instances_state_check"] = append(words["instances_state_check"], string(s))
	}
	quoted := regexp.MustCompile(`'([a-z_]+)'`)
	for constraint, want := range words {
		var text string
		err := tx.QueryRow(t.Context(), `SELECT pg_get_constraintdef(oid) FROM pg_constraint
			WHERE conname = $1 AND connamespace = 'instance'::regnamespace`, constraint).Scan(&text)
		if err != nil {
			t.Errorf("%s: %v", constraint, err)
			continue
		}
		var takes []string
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			takes = append(takes, m[1])
		}
		slices.Sort(takes)
		slices.Sort(want)
		if !slices.Equal(takes, want) {
			t.Errorf("%s takes %v, the code writes %v", constraint, takes, want)
		}
	}
}

// Every state that a query names exists.
func TestDefect05_theQueriesNameStatesThatExist(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("queries/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, text...)
	}
	clause := regexp.MustCompile(`state (?:=|<>|IN|NOT IN) (\([^)@:]*\)|'[a-z_]+')`)
	quoted := regexp.MustCompile(`'([a-z_]+)'`)
	n := 0
	for _, c := range clause.FindAllString(string(raw), -1) {
		for _, m := range quoted.FindAllStringSubmatch(c, -1) {
			n++
			if !slices.Contains(instance.States(), instance.State(m[1])) {
				t.Errorf("no state %q: %s", m[1], strings.TrimSpace(c))
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d states were found in the queries", n)
	}
}

// What nodes reported is there for as long as it is kept, not for an hour.
func TestDefect22_samplesOfAWholeDayAreShown(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id, _ := w.joining(t, "a")
	sql(t, w.pool, `INSERT INTO instance.samples (instance_id, at, running)
		SELECT $1, now() - make_interval(mins => 30 * n), n FROM generate_series(0, 50) n`, id)
	now := time.Now()
	for window, want := range map[time.Duration]int{time.Hour: 2, 24 * time.Hour: 48, 7 * 24 * time.Hour: 51} {
		samples, err := w.Samples(t.Context(), w.org, id, now.Add(-window))
		if err != nil || len(samples) < want || len(samples) > want+1 {
			t.Errorf("the last %s: %d samples, %v; want %d", window, len(samples), err, want)
		}
	}
}

// A list that cannot be read is an error, never an empty list.
func TestDefect26_aListWithoutTheDatabaseIsAnError(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	w.pool.Close()
	for name, list := range map[string]func() error{
		"deployments": func() error { _, err := w.Deployments(ctx, w.org); return err },
		"instances":   func() error { _, err := w.Instances(ctx, w.org, instance.Filter{}); return err },
		"nodes":       func() error { _, err := w.Nodes(ctx, w.org); return err },
		"samples":     func() error { _, err := w.Samples(ctx, w.org, w.org, time.Now()); return err },
		"resources":   func() error { _, err := w.Resources(ctx, time.Now()); return err },
		"routes":      func() error { _, _, err := w.Routes(ctx); return err },
		"strays":      func() error { _, err := w.Strays(ctx, w.actor); return err },
	} {
		if err := list(); err == nil {
			t.Errorf("%s without the database: no error", name)
		}
	}
}
