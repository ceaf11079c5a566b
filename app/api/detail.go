package api

import (
	"bufio"
	"bytes"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// InstanceDetail is an instance with everything that is known about it.
type InstanceDetail struct {
	Instance

	Steps       []Step       `json:"steps" required:"true"`
	Transitions []Transition `json:"transitions" required:"true"`
	Operations  []Operation  `json:"operations" required:"true"`
	Resources   []Resource   `json:"resources" required:"true"`
	Node        *Node        `json:"node,omitempty"`
}

// Step is one move towards the first token, with the time it took.
type Step struct {
	Generation int        `json:"generation" required:"true"`
	Step       string     `json:"step" required:"true"`
	Title      string     `json:"title" required:"true"`
	StartedAt  time.Time  `json:"started_at" required:"true"`
	EndedAt    *time.Time `json:"ended_at,omitempty"`
	Failed     bool       `json:"failed" required:"true"`
	Detail     string     `json:"detail" required:"true"`
}

// Transition is one change of an instance's state.
type Transition struct {
	From    string    `json:"from" required:"true"`
	To      string    `json:"to" required:"true"`
	Reason  string    `json:"reason" required:"true"`
	Message string    `json:"message" required:"true"`
	At      time.Time `json:"at" required:"true"`
}

// Operation is one thing that was asked of a provider.
type Operation struct {
	ID        uuid.UUID  `json:"id" required:"true"`
	Kind      string     `json:"kind" required:"true"`
	Target    string     `json:"target" required:"true"`
	Status    string     `json:"status" required:"true"`
	Error     string     `json:"error" required:"true"`
	PlannedAt time.Time  `json:"planned_at" required:"true"`
	SentAt    *time.Time `json:"sent_at,omitempty"`
	SettledAt *time.Time `json:"settled_at,omitempty"`
}

// Resource is something that a provider bills for an instance.
type Resource struct {
	Kind         string     `json:"kind" required:"true" enum:"server,volume,address"`
	Provider     string     `json:"provider" required:"true"`
	Zone         string     `json:"zone" required:"true"`
	ProviderID   string     `json:"provider_id" required:"true"`
	Description  string     `json:"description" required:"true"`
	PricePerHour money.EUR  `json:"price_per_hour" required:"true"`
	CreatedAt    time.Time  `json:"created_at" required:"true"`
	GoneAt       *time.Time `json:"gone_at,omitempty"`
}

// Node is an instance as its agent reports it.
type Node struct {
	Instance         string          `json:"instance" required:"true"`
	Model            string          `json:"model" required:"true"`
	State            string          `json:"state" required:"true"`
	Connectivity     string          `json:"connectivity" required:"true"`
	AgentVersion     string          `json:"agent_version" required:"true"`
	AgentChecksum    string          `json:"agent_checksum" required:"true"`
	JoinedAt         *time.Time      `json:"joined_at,omitempty"`
	CertificateUntil *time.Time      `json:"certificate_until,omitempty"`
	HeartbeatAt      *time.Time      `json:"heartbeat_at,omitempty"`
	Heartbeat        *wire.Heartbeat `json:"heartbeat,omitempty"`
}

func toNode(n instance.Node) Node {
	return Node{
		Instance: n.Instance, Model: n.Model, State: string(n.State), Connectivity: string(n.Connectivity),
		AgentVersion: n.AgentVersion, AgentChecksum: n.AgentChecksum, JoinedAt: utc(n.JoinedAt),
		CertificateUntil: utc(n.CertificateUntil), HeartbeatAt: utc(n.HeartbeatAt), Heartbeat: n.Heartbeat,
	}
}

func (a *API) getNodes(c ctx, actor auth.Actor, _ None) (List[Node], error) {
	all, err := a.Instances.Nodes(c, actor.Organisation)
	return listOf(all, toNode), err
}

func (a *API) getInstance(c ctx, actor auth.Actor, in instanceRef) (InstanceDetail, error) {
	i, err := a.Instances.Instance(c, actor.Organisation, in.Ref)
	if err != nil {
		return InstanceDetail{}, err
	}
	costs, err := a.Finops.CostSoFar(c, actor, []uuid.UUID{i.ID})
	if err != nil {
		return InstanceDetail{}, err
	}
	d := InstanceDetail{
		Instance: a.toInstance(i.Instance, costs[i.ID]),
		Steps: listOf(i.Steps, func(s instance.StepRecord) Step {
			return Step{s.Generation, string(s.Step), s.Step.Title(), s.StartedAt.UTC(), utc(s.EndedAt), s.Failed, s.Detail}
		}).Items,
		Transitions: listOf(i.Transitions, func(t instance.Transition) Transition {
			return Transition{string(t.From), string(t.To), string(t.Reason), t.Message, t.At.UTC()}
		}).Items,
		Operations: listOf(i.Operations, func(o instance.Operation) Operation {
			return Operation{o.ID, string(o.Kind), o.Target, string(o.Status), o.Error, o.PlannedAt.UTC(), utc(o.SentAt), utc(o.SettledAt)}
		}).Items,
		Resources: listOf(i.Resources, func(r instance.Resource) Resource {
			return Resource{string(r.Kind), r.Provider, r.Zone, r.ProviderID, r.Description, r.PricePerHour, r.CreatedAt.UTC(), utc(r.GoneAt)}
		}).Items,
	}
	if i.Node != nil {
		n := toNode(*i.Node)
		d.Node = &n
	}
	return d, nil
}

type metricsQuery struct {
	Ref     string `path:"ref" json:"-" pattern:"^(inst-[0-9a-f]{8}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$" description:"the name of an instance is like inst-0a1b2c3d, its id is a UUID"`
	Minutes int    `query:"minutes" json:"-" minimum:"1" maximum:"1440" default:"60" description:"How far back the samples go."`
}

// Metrics is what an instance has answered, and what its node has reported.
type Metrics struct {
	Requests         int64     `json:"requests" required:"true"`
	PromptTokens     int64     `json:"prompt_tokens" required:"true"`
	CompletionTokens int64     `json:"completion_tokens" required:"true"`
	Cost             money.EUR `json:"cost" required:"true" description:"EUR, of its tokens."`
	Samples          []Sample  `json:"samples" required:"true"`
}

// Sample is what a node reported at one moment; shares are between 0 and 1.
type Sample struct {
	At        time.Time `json:"at" required:"true"`
	Running   *int      `json:"running,omitempty"`
	Waiting   *int      `json:"waiting,omitempty"`
	KVCache   *float32  `json:"kv_cache,omitempty"`
	GPU       *float32  `json:"gpu,omitempty"`
	GPUMemory *float32  `json:"gpu_memory,omitempty"`
	CPU       *float32  `json:"cpu,omitempty"`
	Memory    *float32  `json:"memory,omitempty"`
	Disk      *float32  `json:"disk,omitempty"`
	NetRx     *int64    `json:"net_rx,omitempty" description:"Bytes per second."`
	NetTx     *int64    `json:"net_tx,omitempty" description:"Bytes per second."`
	Tokens    *int64    `json:"tokens,omitempty" description:"Generated since the engine started."`
}

func (a *API) getMetrics(c ctx, actor auth.Actor, in metricsQuery) (Metrics, error) {
	i, err := a.Instances.Instance(c, actor.Organisation, in.Ref)
	if err != nil {
		return Metrics{}, err
	}
	m := Metrics{}
	now := time.Now()
	used, err := a.Gateway.UsageByUpstream(c, actor, i.CreatedAt.Add(-time.Minute), now.Add(time.Minute))
	if err != nil {
		return Metrics{}, err
	}
	for _, u := range used {
		if u.ID == i.ID {
			m.Requests, m.PromptTokens, m.CompletionTokens, m.Cost = u.Requests, u.PromptTokens, u.CompletionTokens, u.Cost
		}
	}
	samples, err := a.Instances.Samples(c, actor.Organisation, i.ID, now.Add(-time.Duration(in.Minutes)*time.Minute))
	m.Samples = listOf(samples, func(s instance.Sample) Sample {
		return Sample{
			s.At.UTC(), s.Running, s.Waiting, s.KVCache, s.GPU, s.GPUMemory, s.CPU, s.Memory, s.Disk, s.NetRx, s.NetTx, s.Tokens,
		}
	}).Items
	return m, err
}

type logQuery struct {
	Ref    string `path:"ref" json:"-" pattern:"^(inst-[0-9a-f]{8}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$" description:"the name of an instance is like inst-0a1b2c3d, its id is a UUID"`
	Source string `query:"source" json:"-" enum:"agent,engine" default:"engine"`
	Tail   int    `query:"tail" json:"-" minimum:"1" maximum:"5000" default:"200" description:"Lines."`
}

// Log is the end of a log, oldest line first.
type Log struct {
	Source string   `json:"source" required:"true"`
	Lines  []string `json:"lines" required:"true"`
}

func (a *API) getLogs(c ctx, actor auth.Actor, in logQuery) (Log, error) {
	raw, err := a.Instances.Log(c, actor.Organisation, in.Ref, in.Source, in.Tail)
	if err != nil {
		return Log{}, err
	}
	log := Log{Source: in.Source, Lines: []string{}}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, len(raw)+1)
	for lines.Scan() {
		log.Lines = append(log.Lines, string(bytes.ToValidUTF8(lines.Bytes(), []byte("\ufffd"))))
	}
	return log, lines.Err()
}
