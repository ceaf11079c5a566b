package api

import (
	"cmp"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// Deployment is an organisation's wish to have a model served.
type Deployment struct {
	ID        uuid.UUID       `json:"id" required:"true"`
	Name      string          `json:"name" required:"true"`
	Model     string          `json:"model" required:"true" description:"The model of a request."`
	Kind      string          `json:"kind" required:"true" enum:"chat,embedding"`
	Offers    []string        `json:"offers" required:"true" description:"provider/zone/type, in order of preference."`
	Replicas  Replicas        `json:"replicas" required:"true"`
	VolumeGB  int             `json:"volume_gb" required:"true"`
	Engine    wire.EngineSpec `json:"engine" required:"true"`
	Stopped   bool            `json:"stopped" required:"true"`
	Live      int             `json:"live" required:"true" description:"Replicas that are meant to serve."`
	Ready     int             `json:"ready" required:"true" description:"Replicas that serve."`
	Reason    string          `json:"reason" required:"true" description:"Why it is not as wanted, or that it is awake or asleep; else empty."`
	Message   string          `json:"message" required:"true" description:"The same for people."`
	CreatedBy string          `json:"created_by" required:"true"`
	CreatedAt time.Time       `json:"created_at" required:"true"`
}

// Replicas says how many instances a deployment keeps.
type Replicas struct {
	Min int `json:"min" required:"true" minimum:"0" maximum:"100"`
	Max int `json:"max" required:"true" minimum:"0" maximum:"100" description:"0: the same as min."`
	// A pointer, as 0 is a choice.
	IdleMinutes *int `json:"idle_minutes,omitempty" minimum:"0" maximum:"43200" description:"With a minimum of 0: minutes without a request after which it sleeps, until the next request wakes it. 0: never. 15, when it is left out."`
}

func toDeployment(d instance.Deployment) Deployment {
	offers := make([]string, len(d.Offers))
	for i, o := range d.Offers {
		offers[i] = o.String()
	}
	return Deployment{
		ID: d.ID, Name: d.Name, Model: d.Model, Kind: d.Kind, Offers: offers, Replicas: Replicas{d.Min, d.Max, &d.Idle}, VolumeGB: d.VolumeGB,
		Engine: d.Engine, Stopped: d.Stopped, Live: d.Live, Ready: d.Ready, Reason: string(d.Reason), Message: d.Message,
		CreatedBy: d.CreatedBy, CreatedAt: d.CreatedAt.UTC(),
	}
}

func (a *API) getDeployments(c ctx, actor auth.Actor, _ None) (List[Deployment], error) {
	all, err := a.Instances.Deployments(c, actor.Organisation)
	return listOf(all, toDeployment), err
}

// deploymentRef names a deployment by id or name.
type deploymentRef struct {
	Ref string `path:"ref" json:"-" pattern:"^[0-9a-z][0-9a-z-]{0,62}$" description:"the id or name of a deployment has 1 to 63 lower-case letters, digits and hyphens"`
}

func (a *API) getDeployment(c ctx, actor auth.Actor, in deploymentRef) (Deployment, error) {
	d, err := a.Instances.Deployment(c, actor.Organisation, in.Ref)
	return toDeployment(d), err
}

type newDeployment struct {
	Name     string          `json:"name" required:"true" pattern:"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"`
	Model    string          `json:"model" required:"true" description:"Id or name of a model."`
	Offers   []string        `json:"offers" required:"true" description:"provider/zone/type, in order of preference."`
	Replicas Replicas        `json:"replicas" description:"One, when it is left out."`
	VolumeGB int             `json:"volume_gb" description:"0: as recommended."`
	Engine   wire.EngineSpec `json:"engine" description:"As the catalogue has it, when it is left out."`
}

func (a *API) postDeployment(c ctx, actor auth.Actor, in newDeployment) (Deployment, error) {
	if in.Replicas == (Replicas{}) {
		in.Replicas.Min = 1
	}
	d, err := a.Instances.Deploy(c, actor, instance.DeployRequest{
		Name: in.Name, Model: in.Model, Offers: in.Offers, Min: in.Replicas.Min, Max: in.Replicas.Max, Idle: in.Replicas.IdleMinutes,
		VolumeGB: in.VolumeGB, Engine: in.Engine,
	})
	return toDeployment(d), err
}

type scaling struct {
	Ref string `path:"ref" json:"-" pattern:"^[0-9a-z][0-9a-z-]{0,62}$" description:"the id or name of a deployment has 1 to 63 lower-case letters, digits and hyphens"`
	Min int    `json:"min" required:"true" minimum:"0" maximum:"100"`
	Max int    `json:"max" minimum:"0" maximum:"100" description:"The same as min and at least 1, when it is left out."`

	IdleMinutes *int `json:"idle_minutes,omitempty" minimum:"0" maximum:"43200" description:"Minutes without a request after which it sleeps, if min is 0; 0: never. As it is, when it is left out."`
}

func (a *API) scaleDeployment(c ctx, actor auth.Actor, in scaling) (Deployment, error) {
	d, err := a.Instances.Scale(c, actor, in.Ref, in.Min, cmp.Or(in.Max, max(in.Min, 1)), in.IdleMinutes)
	return toDeployment(d), err
}

// verb is an operation on a deployment that needs nothing but its name.
func (a *API) verb(do func(ctx, auth.Actor, string) (instance.Deployment, error)) func(ctx, auth.Actor, deploymentRef) (Deployment, error) {
	return func(c ctx, actor auth.Actor, in deploymentRef) (Deployment, error) {
		d, err := do(c, actor, in.Ref)
		return toDeployment(d), err
	}
}

func (a *API) deleteDeployment(c ctx, actor auth.Actor, in deploymentRef) (None, error) {
	return None{}, a.Instances.DeleteDeployment(c, actor, in.Ref)
}

// Instance is one machine that serves one model.
type Instance struct {
	ID           uuid.UUID  `json:"id" required:"true"`
	Name         string     `json:"name" required:"true"`
	Deployment   string     `json:"deployment" required:"true"`
	Model        string     `json:"model" required:"true"`
	Kind         string     `json:"kind" required:"true" enum:"chat,embedding"`
	Offer        string     `json:"offer" required:"true" description:"provider/zone/type."`
	PricePerHour money.EUR  `json:"price_per_hour" required:"true" description:"EUR, of the server."`
	Cost         money.EUR  `json:"cost" required:"true" description:"EUR so far, volumes and addresses included."`
	VolumeGB     int        `json:"volume_gb" required:"true"`
	State        string     `json:"state" required:"true"`
	Desired      string     `json:"desired" required:"true"`
	Connectivity string     `json:"connectivity" required:"true"`
	Eligibility  string     `json:"eligibility" required:"true"`
	Step         string     `json:"step" required:"true" description:"In progress; empty once it is ready."`
	Progress     int        `json:"progress" required:"true" description:"Percent."`
	Reason       string     `json:"reason" required:"true"`
	Message      string     `json:"message" required:"true"`
	Flag         string     `json:"flag" required:"true" description:"Set when somebody has to look at it."`
	Generation   int        `json:"generation" required:"true"`
	Attempts     int        `json:"attempts" required:"true"`
	StateSince   time.Time  `json:"state_since" required:"true"`
	Deadline     *time.Time `json:"deadline,omitempty"`
	Address      string     `json:"address" required:"true"`
	CreatedBy    string     `json:"created_by" required:"true"`
	CreatedAt    time.Time  `json:"created_at" required:"true"`
	ReadyAt      *time.Time `json:"ready_at,omitempty"`
	TerminatedAt *time.Time `json:"terminated_at,omitempty"`
	Routing      *Standing  `json:"routing,omitempty" description:"How it stands with the process that answers; absent while no requests go there."`
}

func (a *API) toInstance(i instance.Instance, cost money.EUR) Instance {
	return Instance{
		ID: i.ID, Name: i.Name, Deployment: i.Deployment, Model: i.Model, Kind: i.Kind, Offer: i.Offer.String(),
		PricePerHour: i.PricePerHour, Cost: cost, VolumeGB: i.VolumeGB, State: string(i.State), Desired: string(i.Desired),
		Connectivity: string(i.Connectivity), Eligibility: string(i.Eligibility), Step: string(i.Step), Progress: i.Progress,
		Reason: string(i.Reason), Message: i.Message, Flag: string(i.Flag), Generation: i.Generation, Attempts: i.Attempts,
		StateSince: i.StateSince.UTC(), Deadline: utc(i.Deadline), Address: i.Address, CreatedBy: i.CreatedBy,
		CreatedAt: i.CreatedAt.UTC(), ReadyAt: utc(i.ReadyAt), TerminatedAt: utc(i.TerminatedAt), Routing: a.standingOf(i.ID),
	}
}

// utc is a moment that may be missing, in UTC.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

// some is a moment, or nothing for the zero one.
func some(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return utc(&t)
}

type instanceFilter struct {
	Deployment string `query:"deployment" json:"-" description:"Id or name of a deployment."`
	State      string `query:"state" json:"-" enum:"provisioning,booting,installing,starting,ready,draining,terminating,terminated,archived,provisioning_failed,startup_failed,failed"`
	Archived   bool   `query:"archived" json:"-" description:"Archived ones, too."`
	Limit      int    `query:"limit" json:"-" minimum:"1" maximum:"1000" default:"500"`
}

func (a *API) getInstances(c ctx, actor auth.Actor, in instanceFilter) (List[Instance], error) {
	f := instance.Filter{Deployment: in.Deployment, Archived: in.Archived || in.State == string(instance.Archived), Limit: in.Limit}
	if in.State != "" {
		f.States = []instance.State{instance.State(in.State)}
	}
	all, err := a.Instances.Instances(c, actor.Organisation, f)
	if err != nil {
		return List[Instance]{}, err
	}
	ids := make([]uuid.UUID, len(all))
	for i := range all {
		ids[i] = all[i].ID
	}
	costs, err := a.Finops.CostSoFar(c, actor, ids)
	return listOf(all, func(i instance.Instance) Instance { return a.toInstance(i, costs[i.ID]) }), err
}

// instanceRef names an instance by id or name.
type instanceRef struct {
	Ref string `path:"ref" json:"-" pattern:"^(inst-[0-9a-f]{8}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$" description:"the name of an instance is like inst-0a1b2c3d, its id is a UUID"`
}

// operate is an operation on an instance that needs nothing but its name.
func (a *API) operate(do func(ctx, auth.Actor, string) (instance.Instance, error)) func(ctx, auth.Actor, instanceRef) (Instance, error) {
	return func(c ctx, actor auth.Actor, in instanceRef) (Instance, error) {
		i, err := do(c, actor, in.Ref)
		if err != nil {
			return Instance{}, err
		}
		costs, err := a.Finops.CostSoFar(c, actor, []uuid.UUID{i.ID})
		return a.toInstance(i, costs[i.ID]), err
	}
}
