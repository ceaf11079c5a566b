package instance

import (
	"encoding/json"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

func toInstance(i instancedb.InstanceInstance, deployment, kind string) Instance {
	return Instance{
		ID: i.ID, Organisation: i.OrganisationID, DeploymentID: i.DeploymentID, Deployment: deployment,
		Name: i.Name, Model: i.Model, Kind: kind,
		Offer:        OfferRef{Provider: i.Provider, Zone: i.Zone, Type: i.Type},
		PricePerHour: i.PricePerHour, VolumeGB: int(i.VolumeGb),
		State: State(i.State), Desired: Desired(i.Desired),
		Connectivity: Connectivity(i.Connectivity), Eligibility: Eligibility(i.Eligibility),
		Step: Step(i.Step), Progress: int(i.Progress), Reason: Reason(i.Reason), Message: i.Message,
		Generation: int(i.Generation), Attempts: int(i.Attempts), StateSince: i.StateSince, Deadline: i.DeadlineAt,
		ServerID: i.ProviderServerID, Address: i.Address, CreatedBy: i.CreatedBy, CreatedAt: i.CreatedAt,
		ReadyAt: i.ReadyAt, TerminatedAt: i.TerminatedAt, Flag: Reason(i.Flag),
	}
}

// shown is toInstance for people: what was asked of an instance is said before
// the reconciler has come to it.
func shown(i instancedb.InstanceInstance, deployment, kind string) Instance {
	out := toInstance(i, deployment, kind)
	if out.Desired != WantReady && out.State.Rising() {
		out.Reason, out.Message = Reason(i.DesiredReason), i.DesiredMessage
	}
	return out
}

func toDeployment(d instancedb.InstanceDeployment, live, ready int64) Deployment {
	out := Deployment{
		ID: d.ID, Organisation: d.OrganisationID, Name: d.Name, ModelID: d.ModelID, Model: d.Model, Kind: d.Kind,
		VolumeGB: int(d.VolumeGb), Min: int(d.MinReplicas), Max: int(d.MaxReplicas),
		Idle: int(d.IdleMinutes), Stopped: d.Stopped,
		Deleted: d.DeletedAt, Reason: Reason(d.Reason), Message: d.Message, CreatedBy: d.CreatedBy, CreatedAt: d.CreatedAt,
		Live: int(live), Ready: int(ready),
	}
	for _, text := range d.Offers {
		if ref, ok := parseOffer(text); ok {
			out.Offers = append(out.Offers, ref)
		}
	}
	_ = json.Unmarshal(d.Engine, &out.Engine) // written by Deploy; an unreadable one shows as none
	return out
}

func toResource(r instancedb.InstanceResourcesRow) Resource {
	return Resource{
		ID: r.ID, InstanceID: r.InstanceID, Organisation: r.OrganisationID, Instance: r.Instance, Model: r.Model,
		Kind: ResourceKind(r.Kind), Provider: r.Provider, Zone: r.Zone, ProviderID: r.ProviderID,
		Description: r.Description, PricePerHour: r.PricePerHour, CreatedAt: r.CreatedAt, GoneAt: r.GoneAt, UpdatedAt: r.UpdatedAt,
	}
}

// newName returns a name for people: inst- and eight hex digits of the id's
// random part.
func newName(id uuid.UUID) string {
	text := id.String()
	return "inst-" + text[len(text)-8:]
}
