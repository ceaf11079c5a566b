package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog/internal/catalogdb"
	"github.com/inventiv-it-for-ai/inventiv/modules/events"
)

// Service is the module's front door.
type Service struct{ pool *pgxpool.Pool }

// New returns the service; Load fills an empty catalogue.
func New(pool *pgxpool.Pool) *Service { return &Service{pool: pool} }

func (s *Service) q() *catalogdb.Queries { return catalogdb.New(s.pool) }

// Kind is what a model does.
type Kind string

// The kinds of models.
const (
	Chat      Kind = "chat"
	Embedding Kind = "embedding"
)

// Model is something that can be served.
type Model struct {
	ID             uuid.UUID
	Organisation   uuid.UUID // whose it is; nil: the platform's
	Name           string    // as clients send it: a Hugging Face repository id
	Title          string
	Kind           Kind
	RequiredVRAMGB int // GPU memory it needs; 0: not known
	ContextLength  int // tokens; 0: not known
	VolumeGB       int // disk it needs; 0: RecommendedVolumeGB estimates
	Simulated      bool
	Engine         json.RawMessage // default engine settings; {} when it has none
	Active         bool            // may be chosen for new deployments
	Shipped        bool            // from the catalogue in the binary
	CreatedAt      time.Time
	Price          Price // in force for who asked; its ID is 0 when there is none
}

// Price is one version of what a model's tokens cost.
type Price struct {
	ID            int64
	Organisation  uuid.UUID // for whom; nil: for all that have none of their own
	Model         string    // name
	Input, Output money.EUR // per million tokens
	CreatedBy     string    // auth.Actor.Ref, or "catalogue"
	CreatedAt     time.Time
}

// Models returns what the organisation can choose from, by name.
func (s *Service) Models(ctx context.Context, organisation uuid.UUID) ([]Model, error) {
	rows, err := s.q().Models(ctx, &organisation)
	if err != nil {
		return nil, fmt.Errorf("read models: %w", err)
	}
	models := make([]Model, len(rows))
	for i, r := range rows {
		models[i] = Model{
			ID: r.ID, Organisation: orNil(r.OrganisationID), Name: r.Name, Title: r.Title, Kind: Kind(r.Kind),
			RequiredVRAMGB: int(r.RequiredVramGb), ContextLength: int(r.ContextLength), VolumeGB: int(r.VolumeGb),
			Simulated: r.Simulated, Engine: r.Engine, Active: r.Active, Shipped: r.Shipped, CreatedAt: r.CreatedAt,
			Price: Price{ID: r.PriceID, Organisation: orNil(r.PriceOrganisationID), Model: r.Name, Input: r.Input, Output: r.Output},
		}
	}
	return models, nil
}

// Model returns the model with that id or name, or fault.NotFound with the
// nearest names.
func (s *Service) Model(ctx context.Context, organisation uuid.UUID, idOrName string) (Model, error) {
	models, err := s.Models(ctx, organisation)
	if err != nil {
		return Model{}, err
	}
	return find(models, idOrName)
}

// Named returns the name of a model that is given by id or name, and whether it
// makes embeddings; it fails as Model does.
func (s *Service) Named(ctx context.Context, organisation uuid.UUID, idOrName string) (name string, embeds bool, err error) {
	m, err := s.Model(ctx, organisation, idOrName)
	return m.Name, m.Kind == Embedding, err
}

func find(models []Model, idOrName string) (Model, error) {
	names := make([]string, len(models))
	for i, m := range models {
		if m.Name == idOrName || m.ID.String() == idOrName {
			return m, nil
		}
		names[i] = m.Name
	}
	return Model{}, fault.New(fault.NotFound, "There is no such model in the catalogue.").
		WithKind("model_not_found").WithField("model").WithFix("Nearest names: " + strings.Join(nearest(idOrName, names), ", ") + ".")
}

// NewModel is a model to be added.
type NewModel struct {
	Name, Title    string // without a title the name is shown
	Kind           Kind   // Chat when empty
	RequiredVRAMGB int    // 0 only for a simulated model
	ContextLength  int
	VolumeGB       int // 0: RecommendedVolumeGB estimates
	// Simulated models run on the mock provider only, and nothing else does.
	Simulated     bool
	Engine        json.RawMessage
	Input, Output money.EUR // per million tokens
}

func (m NewModel) check() error {
	switch {
	case !validName(m.Name):
		return fault.New(fault.Invalid, "A model's name has 1 to 200 printable characters without spaces.").WithField("name").
			WithFix("Use the id that clients send, such as Qwen/Qwen2.5-7B-Instruct.")
	case len(m.Title) > 200:
		return fault.New(fault.Invalid, "A model's title has at most 200 characters.").WithField("title")
	case m.Kind != Chat && m.Kind != Embedding:
		return fault.New(fault.Invalid, "A model's kind is chat or embedding.").WithField("kind")
	case m.RequiredVRAMGB < 0 || m.RequiredVRAMGB > 100_000 || m.RequiredVRAMGB == 0 && !m.Simulated:
		return fault.New(fault.Invalid, "A model says how much GPU memory it needs, from 1 to 100000 GB.").WithField("required_vram_gb").
			WithFix("Its weights in 16 bit need 2 GB per billion parameters; add a tenth.")
	case m.ContextLength < 0 || m.ContextLength > 100_000_000:
		return fault.New(fault.Invalid, "A context length is between 0 and 100000000 tokens.").WithField("context_length")
	case m.VolumeGB < 0 || m.VolumeGB > 10_000:
		return fault.New(fault.Invalid, "A volume has 0 to 10000 GB.").WithField("volume_gb")
	case len(m.Engine) > 0 && !isObject(m.Engine):
		return fault.New(fault.Invalid, "Engine settings are a JSON object.").WithField("engine")
	}
	return checkPrice(m.Input, m.Output)
}

// AddModel adds a model to the actor's organisation with its first price. It
// needs models.edit, fails with fault.Conflict when the organisation can choose
// a model of that name already, and audits.
func (s *Service) AddModel(ctx context.Context, actor auth.Actor, m NewModel) (Model, error) {
	if err := auth.Need(actor, auth.ModelsEdit); err != nil {
		return Model{}, err
	}
	m.Name, m.Title = strings.TrimSpace(m.Name), strings.TrimSpace(m.Title)
	if m.Title == "" {
		m.Title = m.Name
	}
	if m.Kind == "" {
		m.Kind = Chat
	}
	if err := m.check(); err != nil {
		return Model{}, err
	}
	if len(m.Engine) == 0 {
		m.Engine = json.RawMessage(`{}`)
	}
	taken := fault.Newf(fault.Conflict, "A model named %s is in the catalogue already.", m.Name).WithKind("name_taken").WithField("name")
	if _, err := s.Model(ctx, actor.Organisation, m.Name); err == nil {
		return Model{}, taken
	} else if !fault.Is(err, fault.NotFound) {
		return Model{}, err
	}
	id := uuid.Must(uuid.NewV7())
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := catalogdb.New(tx).InsertModel(ctx, catalogdb.InsertModelParams{
			ID: id, OrganisationID: &actor.Organisation, Name: m.Name, Title: m.Title, Kind: string(m.Kind),
			RequiredVramGb: int32(m.RequiredVRAMGB), ContextLength: int32(m.ContextLength), VolumeGb: int32(m.VolumeGB),
			Simulated: m.Simulated, Engine: m.Engine,
		}); err != nil {
			return err
		}
		return setPrice(ctx, tx, actor, id, m.Name, m.Input, m.Output, "model.add")
	})
	if db.IsUnique(err, "models_organisation_name_key") {
		return Model{}, taken
	}
	if err != nil {
		return Model{}, fmt.Errorf("add model: %w", err)
	}
	return s.Model(ctx, actor.Organisation, id.String())
}

// EnsureModel makes sure that the organisation has a model of that name: when
// neither it nor the platform has one, an entry is added that costs nothing and
// of which nothing else is known. Endpoints need it. It is idempotent.
func (s *Service) EnsureModel(ctx context.Context, organisation uuid.UUID, name string) error {
	if !validName(name) {
		return NewModel{Name: name}.check()
	}
	err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := catalogdb.New(tx)
		id, err := q.EnsureModel(ctx, catalogdb.EnsureModelParams{
			ID: uuid.Must(uuid.NewV7()), OrganisationID: &organisation, Name: name,
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // it is there
		}
		if err != nil {
			return err
		}
		return setPrice(ctx, tx, auth.System(organisation), id, name, 0, 0, "model.add")
	})
	if err != nil {
		return fmt.Errorf("ensure model: %w", err)
	}
	return nil
}

// SetPrice adds a price, in EUR per million tokens, that is in force for the
// actor's organisation from now on; what was metered before keeps its own. It
// needs prices.edit and audits.
func (s *Service) SetPrice(ctx context.Context, actor auth.Actor, model string, input, output money.EUR) (Model, error) {
	if err := auth.Need(actor, auth.PricesEdit); err != nil {
		return Model{}, err
	}
	if err := checkPrice(input, output); err != nil {
		return Model{}, err
	}
	m, err := s.Model(ctx, actor.Organisation, model)
	if err != nil {
		return Model{}, err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		return setPrice(ctx, tx, actor, m.ID, m.Name, input, output, "price.set")
	})
	if err != nil {
		return Model{}, fmt.Errorf("set price: %w", err)
	}
	return s.Model(ctx, actor.Organisation, m.ID.String())
}

// setPrice adds a version with its audit row and event.
func setPrice(ctx context.Context, tx pgx.Tx, actor auth.Actor, id uuid.UUID, name string, input, output money.EUR, action string) error {
	version, err := catalogdb.New(tx).InsertPrice(ctx, catalogdb.InsertPriceParams{
		ModelID: id, OrganisationID: &actor.Organisation, Input: input, Output: output, CreatedBy: actor.Ref(),
	})
	if err != nil {
		return err
	}
	detail := map[string]any{"model": name, "price_id": version, "input": input, "output": output}
	if err := auth.Audit(ctx, tx, actor, action, id.String(), detail); err != nil {
		return err
	}
	return events.Post(ctx, tx, events.Event{Topic: events.Model, Key: id.String(), Organisation: actor.Organisation})
}

// maxPrice is beyond any price per million tokens and keeps sums in range.
const maxPrice = 100_000 * money.Euro

func checkPrice(input, output money.EUR) error {
	for field, price := range map[string]money.EUR{"input": input, "output": output} {
		if price < 0 || price > maxPrice {
			return fault.New(fault.Invalid, "A price is between 0 and 100000 EUR per million tokens.").WithField(field)
		}
	}
	return nil
}

// Prices returns the versions of a model's price that have been in force for
// the organisation, newest first, at most 100.
func (s *Service) Prices(ctx context.Context, organisation uuid.UUID, model string) ([]Price, error) {
	m, err := s.Model(ctx, organisation, model)
	if err != nil {
		return nil, err
	}
	rows, err := s.q().PricesOf(ctx, catalogdb.PricesOfParams{ModelID: m.ID, OrganisationID: &organisation})
	if err != nil {
		return nil, fmt.Errorf("read prices: %w", err)
	}
	prices := make([]Price, len(rows))
	for i, r := range rows {
		prices[i] = Price{
			ID: r.ID, Organisation: orNil(r.OrganisationID), Model: m.Name, Input: r.Input, Output: r.Output,
			CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt,
		}
	}
	return prices, nil
}

// PriceBook returns the price in force of every model name, of the platform and
// of each organisation that has its own: all a gateway needs in memory.
func (s *Service) PriceBook(ctx context.Context) ([]Price, error) {
	rows, err := s.q().PriceBook(ctx)
	if err != nil {
		return nil, fmt.Errorf("read price book: %w", err)
	}
	prices := make([]Price, len(rows))
	for i, r := range rows {
		prices[i] = Price{ID: r.ID, Organisation: orNil(r.OrganisationID), Model: r.Name, Input: r.Input, Output: r.Output}
	}
	return prices, nil
}

func validName(name string) bool {
	bad := func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }
	return name != "" && len(name) <= 200 && strings.ToValidUTF8(name, "") == name && !strings.ContainsFunc(name, bad)
}

func isObject(raw json.RawMessage) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal(raw, &fields) == nil && fields != nil
}

func orNil(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}
