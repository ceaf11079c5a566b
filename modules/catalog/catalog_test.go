package catalog_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db/dbtest"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
)

// setup returns a loaded catalogue and the owner of an organisation in it.
func setup(t *testing.T) (*catalog.Service, *pgxpool.Pool, auth.Actor) {
	t.Helper()
	pool := dbtest.New(t)
	s := catalog.New(pool)
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, pool, owner(t, pool, "ours")
}

func owner(t *testing.T, pool *pgxpool.Pool, slug string) auth.Actor {
	t.Helper()
	a := auth.Actor{UserID: uuid.New(), Organisation: uuid.New(), Name: slug + "@example.com", Role: auth.Owner}
	exec(t, pool, `INSERT INTO auth.organisations (id, name, slug) VALUES ($1, $2, $2)`, a.Organisation, slug)
	return a
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) int {
	t.Helper()
	var n int
	if err := pool.QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func model(t *testing.T, s *catalog.Service, org uuid.UUID, name string) catalog.Model {
	t.Helper()
	m, err := s.Model(t.Context(), org, name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestLoad_twiceAtOnceAndAgainChangesNothing(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := catalog.New(pool)
	var both errgroup.Group
	for range 2 {
		both.Go(func() error { return s.Load(context.WithoutCancel(t.Context())) })
	}
	if err := both.Wait(); err != nil {
		t.Fatal(err)
	}
	state := func() map[string]int {
		tables := map[string]int{}
		for _, table := range []string{"models", "prices", "providers", "zones", "types", "offers"} {
			tables[table] = count(t, pool, `SELECT count(*) FROM catalog.`+table)
		}
		return tables
	}
	want := map[string]int{"models": 18, "prices": 18, "providers": 3, "zones": 12, "types": 20, "offers": 38}
	if diff := cmp.Diff(want, state()); diff != "" {
		t.Errorf("loaded (-want +got)\n%s", diff)
	}
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, state()); diff != "" {
		t.Errorf("loaded again (-want +got)\n%s", diff)
	}
}

func TestLoad_keepsWhatWasSaidSince(t *testing.T) {
	t.Parallel()
	s, pool, _ := setup(t)
	ctx := t.Context()
	exec(t, pool, `UPDATE catalog.models SET active = false, title = 'old' WHERE name = 'Qwen/Qwen2.5-7B-Instruct'`)
	exec(t, pool, `INSERT INTO catalog.prices (model_id, input, output, created_by)
	               SELECT id, 9, 9, 'user:x' FROM catalog.models WHERE name = 'Qwen/Qwen2.5-7B-Instruct'`)
	exec(t, pool, `UPDATE catalog.prices SET input = 7 WHERE model_id = (SELECT id FROM catalog.models WHERE name = 'Qwen/Qwen2.5-14B-Instruct')`)
	exec(t, pool, `INSERT INTO catalog.models (id, name, title, required_vram_gb, context_length, volume_gb, shipped)
	               VALUES (gen_random_uuid(), 'shipped/once', 'x', 1, 1, 1, true)`)
	if n, err := s.UpsertOffers(ctx, []catalog.Offer{
		{Provider: "scaleway", Zone: "fr-par-2", Type: "L4-1-24G", PricePerHour: money.Euro, Stock: catalog.Out},
		{Provider: "scaleway", Zone: "fr-par-2", Type: "H100-NEW", PricePerHour: money.Euro, Stock: catalog.Available},
		{Provider: "scaleway", Zone: "xx-yyy-9", Type: "L4-1-24G", PricePerHour: money.Euro, Stock: catalog.Available},
	}); n != 1 || err != nil {
		t.Fatalf("UpsertOffers = %d, %v; want 1: unknown types and zones are left out", n, err)
	}
	if err := s.Load(ctx); err != nil {
		t.Fatal(err)
	}
	m := model(t, s, uuid.New(), "Qwen/Qwen2.5-7B-Instruct")
	if m.Active || m.Title == "old" || m.Price.Input != 9*money.Euro {
		t.Errorf("after a reload: active %v, title %q, price %s; want false, the shipped title, 9.00", m.Active, m.Title, m.Price.Input)
	}
	if p := model(t, s, uuid.New(), "Qwen/Qwen2.5-14B-Instruct").Price; p.Input != 300_000_000 {
		t.Errorf("a shipped price that differs is %s after a reload, want the shipped 0.30", p.Input)
	}
	if m := model(t, s, uuid.New(), "shipped/once"); m.Active || m.Shipped {
		t.Errorf("a model that is shipped no more: active %v, shipped %v; want false", m.Active, m.Shipped)
	}
	for _, o := range offers(t, s) {
		if o.Ref() == "scaleway/fr-par-2/L4-1-24G" && (o.PricePerHour != money.Euro || o.Stock != catalog.Out) {
			t.Errorf("a refreshed offer has %s and %s after a reload, want 1.00 and out", o.PricePerHour, o.Stock)
		}
	}
}

func offers(t *testing.T, s *catalog.Service) []catalog.Offer {
	t.Helper()
	all, err := s.Offers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOffers_haveExactPrices(t *testing.T) {
	t.Parallel()
	s, _, _ := setup(t)
	got := map[string]string{}
	for _, o := range offers(t, s) {
		got[o.Ref()] = o.PricePerHour.String()
	}
	for ref, want := range map[string]string{
		"scaleway/fr-par-2/L4-1-24G":        "0.7875",
		"scaleway/pl-waw-2/L40S-1-48G":      "1.469916",
		"scaleway/fr-par-2/L40S-8-48G":      "11.759328",
		"scaleway/fr-par-2/B300-SXM-8-288G": "60.00",
		"scaleway/fr-par-1/RENDER-S":        "1.221",
		"mock/local-1/SIM-L4-1-24G":         "0.7875",
	} {
		if got[ref] != want {
			t.Errorf("%s costs %s, want %s", ref, got[ref], want)
		}
	}
}

func TestModels_everyShippedOneHasAPlaceAPriceAndAnEngine(t *testing.T) {
	t.Parallel()
	s, _, actor := setup(t)
	models, err := s.Models(t.Context(), actor.Organisation)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range models {
		fit, err := s.OffersFor(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if len(fit) == 0 || m.Price.ID == 0 || m.Price.Input == 0 || m.ContextLength == 0 {
			t.Errorf("%s fits %d offers, price %+v, context %d", m.Name, len(fit), m.Price, m.ContextLength)
		}
		for _, o := range fit {
			if (o.Provider == "mock") != m.Simulated {
				t.Errorf("%s fits %s", m.Name, o.Ref())
			}
		}
		var engine struct {
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal(m.Engine, &engine); err != nil || engine.Kind != map[bool]string{true: "sim", false: "exec"}[m.Simulated] {
			t.Errorf("%s has the engine %s (%v)", m.Name, m.Engine, err)
		}
	}
}

func TestMisfit_table(t *testing.T) {
	t.Parallel()
	l4 := catalog.Offer{Provider: "scaleway", Zone: "fr-par-2", Type: "L4-2-24G", GPUCount: 2, GPUVRAMGB: 24, Active: true}
	off, pretend := l4, l4
	off.Active, pretend.Provider = false, "mock"
	m := func(vram int, simulated bool) catalog.Model {
		return catalog.Model{Name: "m", RequiredVRAMGB: vram, Simulated: simulated, Active: true}
	}
	for _, c := range []struct {
		name  string
		model catalog.Model
		offer catalog.Offer
		want  string // in the reason; empty: it fits
	}{
		{"all GPUs together", m(48, false), l4, ""},
		{"one GB too much", m(49, false), l4, "needs 49 GB of GPU memory, and L4-2-24G has 48 GB"},
		{"not offered", m(1, false), off, "not offered"},
		{"model not offered", catalog.Model{Name: "m", RequiredVRAMGB: 1}, l4, "m is not offered"},
		{"need unknown", m(0, false), l4, "not known"},
		{"simulated on real", m(0, true), l4, "mock provider only"}, // a defect of the original
		{"real on mock", m(1, false), pretend, "has none"},
		{"simulated on mock", m(0, true), pretend, ""},
	} {
		got := c.model.Misfit(c.offer)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: misfit = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestModel_namesTheNearest(t *testing.T) {
	t.Parallel()
	s, _, actor := setup(t)
	for typed, want := range map[string]string{
		"Qwen/Qwen2.5-7B-instrct":      "Nearest names: Qwen/Qwen2.5-7B-Instruct, ",
		strings.Repeat("é", 100_000):   "Nearest names: ",
		"'; DROP TABLE catalog.models": "Nearest names: ",
	} {
		_, err := s.Model(t.Context(), actor.Organisation, typed)
		if f := fault.As(err); f == nil || f.Code != fault.NotFound || f.Kind != "model_not_found" || !strings.HasPrefix(f.Fix, want) {
			t.Errorf("%.40q: %v, want model_not_found with %q", typed, err, want)
		}
	}
}

func TestAddModel_belongsToItsOrganisationAndIsAudited(t *testing.T) {
	t.Parallel()
	s, pool, ours := setup(t)
	theirs := owner(t, pool, "theirs")
	ctx := t.Context()
	m, err := s.AddModel(ctx, ours, catalog.NewModel{Name: "own/model", RequiredVRAMGB: 20, Input: money.Euro})
	if err != nil || m.Organisation != ours.Organisation || m.Title != "own/model" || m.Price.Input != money.Euro || !m.Active {
		t.Fatalf("AddModel = %+v, %v", m, err)
	}
	if _, err := s.AddModel(ctx, ours, catalog.NewModel{Name: "own/model", RequiredVRAMGB: 20}); fault.As(err) == nil || fault.As(err).Kind != "name_taken" {
		t.Errorf("a second model of that name = %v, want name_taken", err)
	}
	if _, err := s.AddModel(ctx, theirs, catalog.NewModel{Name: "own/model", RequiredVRAMGB: 1}); err != nil {
		t.Errorf("another organisation's model of that name = %v", err)
	}
	if _, err := s.AddModel(ctx, ours, catalog.NewModel{Name: "Qwen/Qwen2.5-7B-Instruct", RequiredVRAMGB: 1}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a model of the platform's name = %v, want a conflict", err)
	}
	if _, err := s.Model(ctx, theirs.Organisation, m.ID.String()); !fault.Is(err, fault.NotFound) {
		t.Errorf("another organisation sees it: %v", err)
	}
	if n := count(t, pool, `SELECT count(*) FROM auth.audit WHERE organisation_id = $1 AND action = 'model.add' AND object = $2`,
		ours.Organisation, m.ID.String()); n != 1 {
		t.Errorf("%d audit rows, want 1", n)
	}
}

func TestB41_badModelsAreRefused(t *testing.T) {
	t.Parallel()
	s, pool, actor := setup(t)
	good := catalog.NewModel{Name: "own/model", RequiredVRAMGB: 20}
	for name, change := range map[string]func(*catalog.NewModel){
		"name":             func(m *catalog.NewModel) { m.Name = " " },
		"name too long":    func(m *catalog.NewModel) { m.Name = strings.Repeat("x", 201) },
		"name with space":  func(m *catalog.NewModel) { m.Name = "a b" },
		"name with RTL":    func(m *catalog.NewModel) { m.Name = "a\u202eb" },
		"name not UTF-8":   func(m *catalog.NewModel) { m.Name = "a\xff" },
		"kind":             func(m *catalog.NewModel) { m.Kind = "image" },
		"required_vram_gb": func(m *catalog.NewModel) { m.RequiredVRAMGB = 0 },
		"negative":         func(m *catalog.NewModel) { m.RequiredVRAMGB = -1 },
		"context_length":   func(m *catalog.NewModel) { m.ContextLength = -1 },
		"volume_gb":        func(m *catalog.NewModel) { m.VolumeGB = 10_001 },
		"engine":           func(m *catalog.NewModel) { m.Engine = json.RawMessage(`[1]`) },
		"input":            func(m *catalog.NewModel) { m.Input = -1 },
		"output":           func(m *catalog.NewModel) { m.Output = 100_001 * money.Euro },
	} {
		m := good
		change(&m)
		if _, err := s.AddModel(t.Context(), actor, m); !fault.Is(err, fault.Invalid) || fault.As(err).Field == "" {
			t.Errorf("%s: %v, want invalid with a field", name, err)
		}
		if err := s.EnsureModel(t.Context(), actor.Organisation, m.Name); m.Name != good.Name && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: EnsureModel = %v, want invalid", name, err)
		}
	}
	if n := count(t, pool, `SELECT count(*) FROM catalog.models WHERE organisation_id = $1 AND name <> 'own/model'`, actor.Organisation); n != 0 {
		t.Errorf("%d models were added", n)
	}
}

func TestSetPrice_isAVersionInForceForItsOrganisation(t *testing.T) {
	t.Parallel()
	s, pool, ours := setup(t)
	theirs := owner(t, pool, "theirs")
	ctx := t.Context()
	const name = "Qwen/Qwen2.5-7B-Instruct"
	list := model(t, s, ours.Organisation, name).Price
	for _, price := range []money.EUR{2 * money.Euro, 3 * money.Euro} {
		if _, err := s.SetPrice(ctx, ours, name, price, price); err != nil {
			t.Fatal(err)
		}
	}
	if got := model(t, s, ours.Organisation, name).Price; got.Input != 3*money.Euro || got.ID <= list.ID || got.Organisation != ours.Organisation {
		t.Errorf("our price = %+v, want the newest version, 3.00, and ours", got)
	}
	if got := model(t, s, theirs.Organisation, name).Price; got != list || got.Organisation != uuid.Nil {
		t.Errorf("their price = %+v, want the platform's %+v", got, list)
	}
	versions, err := s.Prices(ctx, ours.Organisation, name)
	if err != nil || len(versions) != 3 || versions[2].CreatedBy != "catalogue" || versions[0].CreatedBy != ours.Ref() {
		t.Errorf("Prices = %+v, %v; want three versions", versions, err)
	}
	if theirs, err := s.Prices(ctx, theirs.Organisation, name); err != nil || len(theirs) != 1 {
		t.Errorf("Prices of another organisation = %+v, %v; want the platform's only", theirs, err)
	}
	if _, err := s.SetPrice(ctx, ours, "no/such", 1, 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("price of an unknown model = %v, want not found", err)
	}
}

func TestPermissions_pricesAndModelsAreHeldApart(t *testing.T) {
	t.Parallel()
	s, _, actor := setup(t)
	for _, role := range auth.Roles() {
		actor.Role = role
		_, err := s.SetPrice(t.Context(), actor, "Qwen/Qwen2.5-7B-Instruct", 1, 1)
		if allowed := role == auth.Owner || role == auth.Manager; allowed != (err == nil) || !allowed && !fault.Is(err, fault.Denied) {
			t.Errorf("%s sets a price: %v", role, err)
		}
		_, err = s.AddModel(t.Context(), actor, catalog.NewModel{Name: "m/" + string(role), RequiredVRAMGB: 1})
		if allowed := role == auth.Owner || role == auth.Admin; allowed != (err == nil) || !allowed && !fault.Is(err, fault.Denied) {
			t.Errorf("%s adds a model: %v", role, err)
		}
	}
}

func TestPriceBook_hasThePriceInForceOfEachName(t *testing.T) {
	t.Parallel()
	s, pool, ours := setup(t)
	ctx := t.Context()
	const listed = "Qwen/Qwen2.5-7B-Instruct"
	if _, err := s.SetPrice(ctx, ours, listed, 2*money.Euro, 4*money.Euro); err != nil {
		t.Fatal(err)
	}
	for range 2 { // idempotent
		if err := s.EnsureModel(ctx, ours.Organisation, "my/endpoint-model"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.EnsureModel(ctx, ours.Organisation, listed); err != nil { // there: nothing is added
		t.Fatal(err)
	}
	// The platform begins to ship what the organisation has under the same name.
	exec(t, pool, `INSERT INTO catalog.models (id, name, title, required_vram_gb, context_length, volume_gb)
	               VALUES ('018f0000-0000-7000-8000-0000000000aa', 'my/endpoint-model', 'x', 1, 1, 1)`)
	exec(t, pool, `INSERT INTO catalog.prices (model_id, input, output, created_by) VALUES ('018f0000-0000-7000-8000-0000000000aa', 5, 5, 'x')`)

	book, err := s.PriceBook(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range book {
		if p.Organisation == ours.Organisation || slices.Contains([]string{listed, "my/endpoint-model"}, p.Model) {
			who := map[bool]string{true: "platform", false: "ours"}[p.Organisation == uuid.Nil]
			got[who+" "+p.Model] = p.Input.String() + "/" + p.Output.String()
		}
	}
	want := map[string]string{
		"platform " + listed: "0.20/0.20", "ours " + listed: "2.00/4.00",
		"platform my/endpoint-model": "5.00/5.00", "ours my/endpoint-model": "0.00/0.00",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("price book (-want +got)\n%s", diff)
	}
	if len(book) != 18+3 {
		t.Errorf("%d prices in the book, want one of each shipped model and these three", len(book))
	}
	if m := model(t, s, ours.Organisation, "my/endpoint-model"); m.Organisation != ours.Organisation || m.Price.ID == 0 {
		t.Errorf("the organisation's own model = %+v, want it to replace the platform's", m)
	}
}
