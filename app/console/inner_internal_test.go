package console

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

func TestUnarmed_noCellIsAFormula(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "chat": "chat", "12.50": "12.50", "-3": "-3", "+1": "+1",
		"=HYPERLINK(1)": "'=HYPERLINK(1)", "+cmd": "'+cmd", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)", "\tx": "'\tx", "\rx": "'\rx",
	} {
		if got := unarmed(in); got != want {
			t.Errorf("unarmed(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestTokensPerSecond_survivesARestart(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	at := func(i int, tokens int64) instance.Sample {
		return instance.Sample{At: start.Add(time.Duration(i) * 10 * time.Second), Tokens: &tokens}
	}
	got := tokensPerSecond([]instance.Sample{at(0, 100), at(1, 200), {At: start.Add(15 * time.Second)}, at(2, 200), at(3, 40), at(4, 90)})
	if want := []float64{10, 0, 0, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var hour []instance.Sample
	for i := range 361 {
		hour = append(hour, at(i, int64(i)*100))
	}
	if got := tokensPerSecond(hour); len(got) > points+1 || got[0] != 10 || got[len(got)-1] != 10 {
		t.Errorf("an hour is %d points: %v", len(got), got)
	}
}

func TestPeriodOf_monthsAreCalendarMonths(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 31, 1, 0, 0, 0, time.FixedZone("Paris", 2*3600)) // the 30th in UTC
	for code, want := range map[string]string{
		"month": "2026-03-01 2026-03-30", "last": "2026-02-01 2026-03-01", "7d": "2026-03-23 2026-03-30", "24h": "2026-03-29 2026-03-30", "bad": "2026-03-01 2026-03-30",
	} {
		p := periodOf(code, now)
		if got := p.from.Format(time.DateOnly) + " " + p.to.Format(time.DateOnly); got != want {
			t.Errorf("%s: %s, want %s", code, got, want)
		}
	}
}

func TestCondition_lateIsThreePeriods(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		s    loop.Status
		want string
	}{
		{loop.Status{Period: time.Second, LastAt: now.Add(-2 * time.Second)}, "well"},
		{loop.Status{Period: time.Second, LastAt: now.Add(-9 * time.Second)}, "late"},
		{loop.Status{Period: time.Hour, LastAt: now.Add(-2 * time.Hour)}, "well"},
		{loop.Status{Period: time.Second, LastAt: now, LastErr: "no"}, "failing"},
		{loop.Status{Period: time.Second, Running: true}, "running"},
		{loop.Status{Period: time.Second}, "late"},
	} {
		if got := condition(c.s, now); got != c.want {
			t.Errorf("condition(%+v) = %s, want %s", c.s, got, c.want)
		}
	}
}

func TestPerMillion_isExactEnough(t *testing.T) {
	t.Parallel()
	if got := perMillion(1284*money.Euro, 2_000_000_000); got != 642*money.EUR(1_000_000) {
		t.Errorf("got %s", got)
	}
	if got := perMillion(9_000_000_000*money.Euro, 1_000_000); got != 9_000_000_000*money.Euro {
		t.Errorf("got %s", got)
	}
}

func TestSlug_makesAName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Qwen/Qwen2.5-0.5B-Instruct": "qwen2-5-0-5b-instruct", "inventiv/simulated-chat": "simulated-chat", "": "", "a/__": "",
		"x/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstu-vwxyz": "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstu",
	} {
		if got := slug(in); got != want {
			t.Errorf("slug(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestLogLine_readsBothForms(t *testing.T) {
	t.Parallel()
	l := logLine(`{"time":"2026-11-24T10:00:00Z","level":"WARN","msg":"disk is full","free_gb":1.5,"path":"/x"}`)
	if l.Level != "warn" || l.Text != "disk is full  free_gb=1.5 path=/x" || l.At.Hour() != 10 {
		t.Errorf("%+v", l)
	}
	if l := logLine("INFO 11-24 starting"); l.Text != "INFO 11-24 starting" || l.Level != "" || !l.At.IsZero() {
		t.Errorf("%+v", l)
	}
	if l := logLine(`{"broken`); l.Text != `{"broken` {
		t.Errorf("%+v", l)
	}
}

func TestWaiting_notesOnlyWhatIsNotAsWanted(t *testing.T) {
	t.Parallel()
	short := instance.Deployment{Name: "chat", Reason: instance.ReasonOutOfStock, Message: "None in stock."}
	stopped := short
	stopped.Stopped = true
	alerts := waiting([]instance.Deployment{
		short, stopped, {Name: "well"}, {Name: "new", Reason: instance.ReasonReplicasStarting, Message: "On their way."},
		{Name: "quiet", Reason: instance.ReasonAsleep, Message: instance.ReasonAsleep.Sentence()},
		{Name: "woken", Reason: instance.ReasonAwake, Message: instance.ReasonAwake.Sentence()},
	})
	if len(alerts) != 1 || alerts[0].Title != "chat is not as wanted." || alerts[0].Text != "None in stock." {
		t.Errorf("got %+v", alerts)
	}
}

func TestFailing_oneNoteForEachLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loops []*loop.Loop
		for name, err := range map[string]error{
			"sweep": errors.New("3 resources at scaleway are of no instance that the database knows\nand more"), "usage": nil,
		} {
			l := loop.New(name, time.Hour, slog.New(slog.DiscardHandler), func(context.Context) (int, error) { return 0, err })
			loops = append(loops, l)
			go l.Run(t.Context())
		}
		synctest.Wait()
		want := []views.Alert{{
			Title: "The loop sweep fails.", Text: "3 resources at scaleway are of no instance that the database knows", Href: "/loops", Action: "See the loops",
		}}
		if got := failing(loops); !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestBroken_oneNoteForEachDeployment(t *testing.T) {
	t.Parallel()
	a, b := uuid.New(), uuid.New()
	newest := instance.Instance{ID: uuid.New(), Name: "inst-3", DeploymentID: a, Deployment: "chat", State: instance.StartupFailed, Message: "No disk."}
	alone := instance.Instance{ID: uuid.New(), Name: "inst-2", DeploymentID: b, Deployment: "embed", State: instance.Failed, Message: "No card."}
	alerts := broken([]instance.Instance{
		newest, {Name: "inst-0", DeploymentID: a, State: instance.Ready}, alone,
		{Name: "inst-1", DeploymentID: a, Deployment: "chat", State: instance.StartupFailed, Message: "Older."},
	})
	want := []views.Alert{
		{Kind: "bad", Title: "2 instances of chat need a look.", Text: "No disk.", Href: "/deployments/" + a.String(), Action: "See the deployment"},
		{Kind: "bad", Title: "inst-2 needs a look.", Text: "No card.", Href: "/instances/" + alone.ID.String(), Action: "See the instance"},
	}
	if !slices.Equal(alerts, want) {
		t.Errorf("got %+v, want %+v", alerts, want)
	}
}
