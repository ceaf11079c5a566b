package instance_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

func TestDeploy_B26_whatCannotRunIsRefusedWithTheNearestThatCan(t *testing.T) {
	t.Parallel()
	w := setup(t)
	exec := wire.EngineSpec{Kind: wire.EngineExec, Command: []string{"server", "{port}"}}
	const llama70 = "meta-llama/Meta-Llama-3-70B-Instruct"
	const mistral = "mistralai/Mistral-7B-Instruct-v0.2"
	good := instance.DeployRequest{Name: "chat", Model: simChat, Offers: []string{offer1}, Min: 1, Max: 1}
	for name, tc := range map[string]struct {
		edit func(*instance.DeployRequest)
		says []string // in the sentence and the fix
	}{
		"zone typo": {
			func(r *instance.DeployRequest) { r.Offers = []string{"mock/locl-1/SIM-L4-1-24G"} },
			[]string{"no zone locl-1", "nearest", offer1},
		},
		"type typo": {
			func(r *instance.DeployRequest) { r.Offers = []string{"mock/local-2/SIM-L4-1-24"} },
			[]string{"no server type SIM-L4-1-24", offer2},
		},
		"unknown provider": {
			func(r *instance.DeployRequest) { r.Offers = []string{"mok/local-1/SIM-L4-1-24G"} },
			[]string{"no provider mok", offer1},
		},
		"a provider that is not set up": {
			func(r *instance.DeployRequest) {
				r.Model, r.Engine, r.Offers = mistral, exec, []string{"scaleway/fr-par-1/L4-1-24G"}
			},
			[]string{"scaleway is not set up here"},
		},
		"type not in zone": {
			func(r *instance.DeployRequest) {
				r.Model, r.Engine, r.Offers = mistral, exec, []string{"scaleway/fr-par-1/H100-1-80G"}
			},
			[]string{"H100-1-80G is not offered in zone fr-par-1"},
		},
		"not an offer": {
			func(r *instance.DeployRequest) { r.Offers = []string{"L4"} }, []string{"provider/zone/type"},
		},
		"twice": {
			func(r *instance.DeployRequest) { r.Offers = []string{offer1, offer1} }, []string{"named twice"},
		},
		"none": {func(r *instance.DeployRequest) { r.Offers = nil }, []string{"1 to 20 offers"}},
		"too much for the GPU": {
			func(r *instance.DeployRequest) { r.Model, r.Engine = llama70, exec },
			[]string{"needs 160 GB of GPU memory", "has 24 GB"},
		},
		"volume too small": {
			func(r *instance.DeployRequest) { r.Model, r.Engine, r.VolumeGB = mistral, exec, 1 },
			[]string{"1 GB does not hold", "200 GB are recommended"},
		},
		"name": {func(r *instance.DeployRequest) { r.Name = "No Spaces" }, []string{"1 to 63 lower-case"}},
		"replicas": {
			func(r *instance.DeployRequest) { r.Min, r.Max = 3, 2 }, []string{"3 to 2 replicas"},
		},
		"the simulator for a real model": {
			func(r *instance.DeployRequest) { r.Model, r.Engine.Kind = mistral, wire.EngineSim },
			[]string{"simulator cannot stand for"},
		},
		"no engine": {
			func(r *instance.DeployRequest) { r.Model = mistral }, []string{"Nothing says how"},
		},
		"a command without a port": {
			func(r *instance.DeployRequest) {
				r.Model, r.Engine = mistral, wire.EngineSpec{Kind: wire.EngineExec, Command: []string{"server"}}
			}, []string{"{port}"},
		},
	} {
		r := good
		tc.edit(&r)
		_, err := w.Deploy(t.Context(), w.actor, r)
		f := fault.As(err)
		if f == nil || f.Code != fault.Invalid {
			t.Errorf("%s: %v, want an invalid fault", name, err)
			continue
		}
		for _, words := range tc.says {
			if !strings.Contains(f.Text+" "+f.Fix, words) {
				t.Errorf("%s: %q %q does not say %q", name, f.Text, f.Fix, words)
			}
		}
	}
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM instance.deployments`); n != 0 {
		t.Errorf("%d deployments were recorded", n)
	}
}

func TestDeploy_aNameIsTakenOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := instance.DeployRequest{Name: "chat", Model: simChat, Offers: []string{offer1}, Min: 1}
	if _, err := w.Deploy(t.Context(), w.actor, r); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Deploy(t.Context(), w.actor, r); !fault.Is(err, fault.Conflict) {
		t.Errorf("the second = %v", err)
	}
	w.mustDelete(t, "chat")
	if _, err := w.Deploy(t.Context(), w.actor, r); err != nil {
		t.Errorf("after its deletion = %v", err)
	}
}

func TestVerbs_B22_anotherOrganisationsIsNotFound(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	w.deploy(t, "chat", 1, 1)
	if _, err := w.ScalePass(ctx); err != nil {
		t.Fatal(err)
	}
	i := w.list(t)[0]
	foreign := auth.System(uuid.New())
	for name, verb := range map[string]func(ref string) error{
		"terminate": func(ref string) error { _, err := w.Terminate(ctx, foreign, ref); return err },
		"replace":   func(ref string) error { _, err := w.Replace(ctx, foreign, ref); return err },
		"reinstall": func(ref string) error { _, err := w.Reinstall(ctx, foreign, ref); return err },
		"retry":     func(ref string) error { _, err := w.Retry(ctx, foreign, ref); return err },
		"archive":   func(ref string) error { _, err := w.Archive(ctx, foreign, ref); return err },
		"cordon":    func(ref string) error { _, err := w.Cordon(ctx, foreign, ref); return err },
		"show":      func(ref string) error { _, err := w.Instance(ctx, foreign.Organisation, ref); return err },
		"log":       func(ref string) error { _, err := w.Log(ctx, foreign.Organisation, ref, "agent", 10); return err },
	} {
		theirs, none := verb(i.ID.String()), verb(uuid.NewString())
		if !fault.Is(theirs, fault.NotFound) || !fault.Is(none, fault.NotFound) || fault.As(theirs).Text != fault.As(none).Text {
			t.Errorf("%s: another organisation's %v, nobody's %v", name, theirs, none)
		}
		if err := verb("not a uuid"); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: a name that is nobody's: %v", name, err)
		}
	}
	if err := w.DeleteDeployment(ctx, foreign, "chat"); !fault.Is(err, fault.NotFound) {
		t.Errorf("delete another's deployment = %v", err)
	}
	if got, err := w.Samples(ctx, foreign.Organisation, i.ID, i.CreatedAt); err != nil || len(got) != 0 {
		t.Errorf("another's samples = %v, %v", got, err)
	}
}

func TestVerbs_needThePermission(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := setup(t)
	w.deploy(t, "chat", 1, 1)
	for _, role := range []auth.Role{auth.User, auth.Auditor, auth.Manager} {
		actor := auth.Actor{UserID: uuid.New(), Organisation: w.org, Role: role}
		if _, err := w.Scale(ctx, actor, "chat", 2, 2, nil); !fault.Is(err, fault.Denied) {
			t.Errorf("%s scales: %v", role, err)
		}
		if _, err := w.Terminate(ctx, actor, "x"); !fault.Is(err, fault.Denied) {
			t.Errorf("%s terminates: %v", role, err)
		}
	}
}

// The mock cloud's machines are processes of this host, beside the master key.
func TestDeploy_aCommandOnThisHostIsTheOperatorsToGive(t *testing.T) {
	t.Parallel()
	w := setup(t)
	owner := auth.Actor{UserID: uuid.New(), Organisation: w.org, Role: auth.Owner}
	r := instance.DeployRequest{
		Name: "a", Model: "mistralai/Mistral-7B-Instruct-v0.2", Offers: []string{offer1}, Min: 1,
		Engine: wire.EngineSpec{Kind: wire.EngineExec, Command: []string{"cat", "{port}"}},
	}
	if _, err := w.Deploy(t.Context(), owner, r); !fault.Is(err, fault.Denied) {
		t.Errorf("an owner's command = %v, want denied", err)
	}
	if n := scalar[int](t, w.pool, `SELECT count(*) FROM instance.deployments`); n != 0 {
		t.Errorf("%d deployments were recorded", n)
	}
	if _, err := w.Deploy(t.Context(), owner, instance.DeployRequest{Name: "b", Model: simChat, Offers: []string{offer1}, Min: 1}); err != nil {
		t.Errorf("an owner's simulated model = %v", err)
	}
	owner.PlatformAdmin = true
	if _, err := w.Deploy(t.Context(), owner, r); err != nil {
		t.Errorf("an operator's command = %v", err)
	}
}

func TestDeploy_secretsOfTheEngineAreSealed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	d, err := w.Deploy(t.Context(), w.actor, instance.DeployRequest{
		Name: "chat", Model: "mistralai/Mistral-7B-Instruct-v0.2", Offers: []string{offer1}, Min: 1,
		Engine: wire.EngineSpec{Kind: wire.EngineExec, Command: []string{"server", "{port}"}, Env: map[string]string{"HF_TOKEN": "hush-hush"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Engine.Env) != 0 {
		t.Error("the deployment shows the environment")
	}
	if row := scalar[string](t, w.pool, `SELECT d::text || encode(coalesce(engine_env, ''), 'escape') FROM instance.deployments d`); strings.Contains(row, "hush-hush") {
		t.Error("the environment is in clear in the database")
	}
	if _, err := w.ScalePass(t.Context()); err != nil {
		t.Fatal(err)
	}
	spec, err := w.EngineOf(t.Context(), w.org, w.list(t)[0].ID)
	if err != nil || spec.Env["HF_TOKEN"] != "hush-hush" {
		t.Errorf("the agent would get %v, %v", spec.Env, err)
	}
}
