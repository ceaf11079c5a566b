package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// Deployments lists the organisation's deployments by name.
func (s *Service) Deployments(ctx context.Context, organisation uuid.UUID) ([]Deployment, error) {
	return s.deployments(ctx, organisation, "")
}

// Deployment returns one by id or name; a fault.NotFound when the organisation
// has none such.
func (s *Service) Deployment(ctx context.Context, organisation uuid.UUID, ref string) (Deployment, error) {
	if ref == "" {
		return Deployment{}, noDeployment()
	}
	all, err := s.deployments(ctx, organisation, ref)
	if err != nil {
		return Deployment{}, err
	}
	if len(all) == 0 {
		return Deployment{}, noDeployment()
	}
	return all[0], nil
}

func (s *Service) deployments(ctx context.Context, organisation uuid.UUID, ref string) ([]Deployment, error) {
	rows, err := s.q().Deployments(ctx, instancedb.DeploymentsParams{OrganisationID: organisation, Ref: ref})
	if err != nil {
		return nil, fmt.Errorf("list deployments: %w", err)
	}
	out := make([]Deployment, 0, len(rows))
	for _, r := range rows {
		out = append(out, toDeployment(r.InstanceDeployment, r.Live, r.Ready))
	}
	return out, nil
}

// Filter narrows a list of instances. The zero value is all but archived ones.
type Filter struct {
	Deployment string  // id or name
	States     []State // empty: any
	Archived   bool    // archived ones, too
	Limit      int     // 0: 500
}

// Instances lists the organisation's instances, newest first.
func (s *Service) Instances(ctx context.Context, organisation uuid.UUID, f Filter) ([]Instance, error) {
	p := instancedb.InstancesParams{
		OrganisationID: organisation, Deployment: f.Deployment, Archived: f.Archived, States: []string{}, Lim: int32(f.Limit),
	}
	if f.Limit <= 0 {
		p.Lim = 500
	}
	for _, state := range f.States {
		p.States = append(p.States, string(state))
	}
	return s.instances(ctx, p)
}

func (s *Service) instances(ctx context.Context, p instancedb.InstancesParams) ([]Instance, error) {
	rows, err := s.q().Instances(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("list instances: %w", err)
	}
	out := make([]Instance, 0, len(rows))
	for _, r := range rows {
		out = append(out, shown(r.InstanceInstance, r.Deployment, r.Kind))
	}
	return out, nil
}

func (s *Service) byRef(ctx context.Context, organisation uuid.UUID, ref string) (Instance, error) {
	if ref == "" {
		return Instance{}, noInstance()
	}
	all, err := s.instances(ctx, instancedb.InstancesParams{
		OrganisationID: organisation, Ref: ref, Archived: true, States: []string{}, Lim: 1,
	})
	if err != nil {
		return Instance{}, err
	}
	if len(all) == 0 {
		return Instance{}, noInstance()
	}
	return all[0], nil
}

// Instance returns one by id or name with everything known about it; a
// fault.NotFound when the organisation has none such.
func (s *Service) Instance(ctx context.Context, organisation uuid.UUID, ref string) (Detail, error) {
	i, err := s.byRef(ctx, organisation, ref)
	if err != nil {
		return Detail{}, err
	}
	d := Detail{Instance: i}
	q := s.q()
	if d.Steps, err = steps(ctx, q, i.ID); err != nil {
		return d, fmt.Errorf("read the steps: %w", err)
	}
	transitions, err := q.Transitions(ctx, i.ID)
	if err != nil {
		return d, fmt.Errorf("read the history: %w", err)
	}
	for _, t := range transitions {
		d.Transitions = append(d.Transitions, Transition{
			Seq: int(t.Seq), From: State(t.FromState), To: State(t.ToState), Reason: Reason(t.Reason), Message: t.Message, At: t.At,
		})
	}
	if d.Operations, err = operations(ctx, q, i.ID); err != nil {
		return d, fmt.Errorf("read the operations: %w", err)
	}
	resources, err := q.InstanceResources(ctx, i.ID)
	if err != nil {
		return d, fmt.Errorf("read the resources: %w", err)
	}
	for _, r := range resources {
		d.Resources = append(d.Resources, toResource(r))
	}
	if d.Node, err = s.node(ctx, i); err != nil {
		return d, fmt.Errorf("read the node: %w", err)
	}
	if i.State.Rising() && i.State != Ready {
		if d.Usual, err = usual(ctx, q, organisation, i); err != nil {
			return d, fmt.Errorf("read how long steps take: %w", err)
		}
	}
	return d, nil
}

func usual(ctx context.Context, q *instancedb.Queries, organisation uuid.UUID, i Instance) (map[Step]Usual, error) {
	rows, err := q.UsualSteps(ctx, instancedb.UsualStepsParams{
		OrganisationID: organisation, Model: i.Model, Type: i.Offer.Type, ID: i.ID, Generation: int32(i.Generation),
	})
	out := make(map[Step]Usual, len(rows))
	for _, r := range rows {
		out[Step(r.Step)] = Usual{Median: time.Duration(r.Seconds * float64(time.Second)), Times: int(r.Times)}
	}
	return out, err
}

func steps(ctx context.Context, q *instancedb.Queries, id uuid.UUID) ([]StepRecord, error) {
	rows, err := q.Steps(ctx, id)
	out := make([]StepRecord, 0, len(rows))
	for _, r := range rows {
		out = append(out, StepRecord{
			Generation: int(r.Generation), Step: Step(r.Step), StartedAt: r.StartedAt, EndedAt: r.EndedAt,
			Failed: r.Failed, Detail: r.Detail,
		})
	}
	return out, err
}

func operations(ctx context.Context, q *instancedb.Queries, id uuid.UUID) ([]Operation, error) {
	rows, err := q.Operations(ctx, id)
	out := make([]Operation, 0, len(rows))
	for _, r := range rows {
		out = append(out, Operation{
			ID: r.ID, Kind: OperationKind(r.Kind), Target: r.Target, Status: OperationStatus(r.Status), Error: r.Error,
			PlannedAt: r.PlannedAt, SentAt: r.SentAt, SettledAt: r.SettledAt,
		})
	}
	return out, err
}

// node returns the instance's node, or nil before there is one.
func (s *Service) node(ctx context.Context, i Instance) (*Node, error) {
	row, err := s.nodeRow(ctx, i.ID)
	if err != nil || row == nil {
		return nil, err
	}
	return &Node{
		InstanceID: i.ID, Instance: i.Name, Model: i.Model, State: i.State, Connectivity: i.Connectivity,
		JoinedAt: row.JoinedAt, CertificateUntil: row.CertificateUntil, AgentVersion: row.AgentVersion,
		AgentChecksum: row.AgentChecksum, HeartbeatAt: row.HeartbeatAt, Heartbeat: readHeartbeat(row.Heartbeat),
	}, nil
}

// Nodes lists the nodes of the organisation's instances by name.
func (s *Service) Nodes(ctx context.Context, organisation uuid.UUID) ([]Node, error) {
	rows, err := s.q().Nodes(ctx, organisation)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	out := make([]Node, 0, len(rows))
	for _, r := range rows {
		out = append(out, Node{
			InstanceID: r.InstanceID, Instance: r.Name, Model: r.Model, State: State(r.State),
			Connectivity: Connectivity(r.Connectivity), JoinedAt: r.JoinedAt, CertificateUntil: r.CertificateUntil,
			AgentVersion: r.AgentVersion, AgentChecksum: r.AgentChecksum, HeartbeatAt: r.HeartbeatAt,
			Heartbeat: readHeartbeat(r.Heartbeat),
		})
	}
	return out, nil
}

// readHeartbeat returns a kept report, or nil when there is none yet.
func readHeartbeat(raw json.RawMessage) *wire.Heartbeat {
	var h wire.Heartbeat
	if json.Unmarshal(raw, &h) != nil || h.InstanceID == uuid.Nil {
		return nil
	}
	return &h
}

// Samples returns what the instance's node has reported since then, oldest
// first, one sample in ten seconds at most.
func (s *Service) Samples(ctx context.Context, organisation, id uuid.UUID, since time.Time) ([]Sample, error) {
	rows, err := s.q().Samples(ctx, instancedb.SamplesParams{OrganisationID: organisation, InstanceID: id, Since: since})
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	out := make([]Sample, 0, len(rows))
	for _, r := range rows {
		out = append(out, Sample{
			At: r.At, Running: toInt(r.Running), Waiting: toInt(r.Waiting), KVCache: r.KvCache, GPU: r.Gpu, GPUMemory: r.GpuMemory,
			CPU: r.Cpu, Memory: r.Memory, Disk: r.Disk, NetRx: r.NetRx, NetTx: r.NetTx, Tokens: r.Tokens,
		})
	}
	return out, nil
}

func toInt(v *int32) *int {
	if v == nil {
		return nil
	}
	n := int(*v)
	return &n
}

// Resources returns what was billed, began or ended since then, in the order in
// which it changed. A row that changed at the same moment may come twice.
func (s *Service) Resources(ctx context.Context, since time.Time) ([]Resource, error) {
	rows, err := s.q().ResourcesSince(ctx, since)
	if err != nil {
		return nil, fmt.Errorf("read resources: %w", err)
	}
	out := make([]Resource, 0, len(rows))
	for _, r := range rows {
		out = append(out, toResource(instancedb.InstanceResourcesRow(r)))
	}
	return out, nil
}

// Routes returns where requests may be sent, and the models that are deployed
// and have nowhere.
func (s *Service) Routes(ctx context.Context) ([]Route, []Sleeping, error) {
	rows, err := s.q().Routes(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read routes: %w", err)
	}
	awake := map[served]bool{}
	routes := make([]Route, 0, len(rows))
	for _, r := range rows {
		awake[served{r.OrganisationID, r.Model}] = true
		route := Route{
			ID: r.ID, Organisation: r.OrganisationID, Name: r.Name, Model: r.Model, Kind: r.Kind, Running: int(r.Running),
			Waiting: int(r.Waiting), KVCache: r.KvCache, Generated: r.Generated,
		}
		if r.HeartbeatAt != nil {
			route.ReportedAt = *r.HeartbeatAt
		}
		routes = append(routes, route)
	}
	sleeping, err := s.sleeping(ctx, s.q(), awake)
	return routes, sleeping, err
}
