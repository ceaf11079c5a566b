package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// DeployRequest is a new deployment. Zero values are what the catalogue
// recommends.
type DeployRequest struct {
	Name     string
	Model    string   // id or name
	Offers   []string // provider/zone/type, in order of preference
	Min, Max int      // replicas; Max 0: the same as Min, at least 1
	Idle     *int     // minutes without a request after which it sleeps if Min is 0; 0: never; nil: DefaultIdle
	VolumeGB int      // of each server's volume; 0: as recommended
	Engine   wire.EngineSpec
}

const maxReplicas = 100

var deploymentName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Deploy records that the actor's organisation wants a model served and returns
// at once; loops make it true. It fails with fault.Denied without
// instances.operate, and for a command on this host without platform.operate,
// fault.Invalid for something that could never run, with the nearest valid
// choices, fault.NotFound for an unknown model and fault.Conflict for a name in
// use.
func (s *Service) Deploy(ctx context.Context, actor auth.Actor, r DeployRequest) (Deployment, error) {
	if err := auth.Need(actor, auth.InstancesOperate); err != nil {
		return Deployment{}, err
	}
	r.Name = strings.TrimSpace(r.Name)
	if !deploymentName.MatchString(r.Name) {
		return Deployment{}, fault.New(fault.Invalid,
			"A deployment's name has 1 to 63 lower-case letters, digits and hyphens, and begins and ends with a letter or digit.").WithField("name")
	}
	if r.Max == 0 {
		r.Max = max(r.Min, 1)
	}
	if err := checkReplicas(r.Min, r.Max); err != nil {
		return Deployment{}, err
	}
	if r.Idle == nil {
		r.Idle = new(DefaultIdle)
	}
	if err := checkIdle(r.Idle); err != nil {
		return Deployment{}, err
	}
	model, err := s.catalog.Model(ctx, actor.Organisation, r.Model)
	if err != nil {
		return Deployment{}, err
	}
	if r.VolumeGB == 0 {
		r.VolumeGB = model.VolumeGB
	}
	offers, err := s.checkOffers(ctx, model, r)
	if err != nil {
		return Deployment{}, err
	}
	engine, err := completeEngine(model, r.Engine)
	if err != nil {
		return Deployment{}, err
	}
	if err := mayRun(actor, engine, offers); err != nil {
		return Deployment{}, err
	}
	id := uuid.Must(uuid.NewV7())
	row, err := s.deploymentRow(id, actor, model, r, offers, engine)
	if err != nil {
		return Deployment{}, err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := instancedb.New(tx).InsertDeployment(ctx, row); err != nil {
			return err
		}
		err := auth.Audit(ctx, tx, actor, "deployment.create", r.Name, map[string]any{
			"model": model.Name, "offers": row.Offers, "min": r.Min, "max": r.Max, "idle_minutes": row.IdleMinutes,
		})
		if err != nil {
			return err
		}
		return tellDeployment(ctx, tx, actor.Organisation, id)
	})
	if db.IsUnique(err, "deployments_name_key") {
		return Deployment{}, fault.Newf(fault.Conflict, "There is a deployment named %s already.", r.Name).
			WithFix("Choose another name, or change the one that is there.").WithField("name")
	}
	if err != nil {
		return Deployment{}, fmt.Errorf("record the deployment: %w", err)
	}
	s.scale.Wake()
	return s.Deployment(ctx, actor.Organisation, id.String())
}

func (s *Service) deploymentRow(
	id uuid.UUID, actor auth.Actor, model Model, r DeployRequest, offers []Offer, engine wire.EngineSpec,
) (row instancedb.InsertDeploymentParams, err error) {
	row = instancedb.InsertDeploymentParams{
		ID: id, OrganisationID: actor.Organisation, Name: r.Name, ModelID: model.ID, Model: model.Name, Kind: model.Kind,
		VolumeGb: int32(r.VolumeGB), MinReplicas: int32(r.Min), MaxReplicas: int32(r.Max),
		IdleMinutes: int32(*r.Idle), CreatedBy: actor.Ref(),
	}
	for _, o := range offers {
		row.Offers = append(row.Offers, o.Ref.String())
	}
	if len(engine.Env) > 0 {
		secret, err := json.Marshal(engine.Env)
		if err != nil {
			return row, fmt.Errorf("write the engine's environment: %w", err)
		}
		row.EngineEnv = s.keyring.Seal(enginePlace(actor.Organisation, id), secret)
		engine.Env = nil
	}
	if row.Engine, err = json.Marshal(engine); err != nil {
		return row, fmt.Errorf("write the engine: %w", err)
	}
	return row, nil
}

func enginePlace(organisation, deployment uuid.UUID) string {
	return keyring.Place("instance.deployments", "engine_env", organisation.String(), deployment.String())
}

func checkReplicas(low, high int) error {
	if low < 0 || high < 1 || low > high || high > maxReplicas {
		return fault.Newf(fault.Invalid, "%d to %d replicas cannot be kept.", low, high).
			WithFix("Give a minimum of 0 or more and a maximum of 1 to 100 that is not below it.").WithField("replicas")
	}
	return nil
}

// mayRun refuses a command on the mock cloud to all but operators of the
// platform: its machines are processes of the control plane's own host, where a
// command reads the secrets of every organisation.
func mayRun(actor auth.Actor, engine wire.EngineSpec, offers []Offer) error {
	here := slices.ContainsFunc(offers, func(o Offer) bool { return o.Ref.Provider == mockProvider })
	if engine.Kind != wire.EngineExec || !here || actor.Can(auth.PlatformOperate) {
		return nil
	}
	return fault.New(fault.Denied, "An engine's command on the mock cloud runs on the control plane's own host; only an operator of this platform may give one.").
		WithFix("Deploy a simulated model, or choose offers of a provider that has machines of its own.").WithKind("permission_denied").WithField("engine")
}

// completeEngine fills in what the catalogue says and refuses an engine that
// would not be what its model's name says.
func completeEngine(model Model, engine wire.EngineSpec) (wire.EngineSpec, error) {
	if engine.Kind == "" && len(model.Engine) > 0 {
		if err := json.Unmarshal(model.Engine, &engine); err != nil {
			return engine, fmt.Errorf("read the engine settings of model %s: %w", model.Name, err)
		}
	}
	if engine.Kind == "" && model.Simulated {
		engine.Kind = wire.EngineSim
	}
	engine.Model = model.Name
	if engine.Kind == wire.EngineSim && !model.Simulated {
		return engine, fault.Newf(fault.Invalid, "The simulator cannot stand for %s: its answers would be taken for the model's.", model.Name).
			WithFix("Deploy a simulated model, or give the command of a real engine.").WithField("engine")
	}
	if engine.Kind == "" {
		return engine, fault.Newf(fault.Invalid, "Nothing says how %s is to be served.", model.Name).
			WithFix("Give the command of an OpenAI-compatible engine, with {port} where its port goes.").WithField("engine")
	}
	if err := engine.Validate(); err != nil {
		return engine, fault.Newf(fault.Invalid, "The engine cannot be run: %s.", err).WithField("engine")
	}
	return engine, nil
}
