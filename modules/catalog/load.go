package catalog

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog/internal/catalogdb"
)

// The shipped catalogue. Machine prices are the provider's list prices in EUR
// per hour, taxes excluded, recorded on 2026-07-30; each refresh by the
// provider replaces them. Token prices are ours, in EUR per million tokens,
// and are meant to be set by who pays the machines. Memory is what the weights
// need in 16 bit, with room for a cache: a model that fits by this number
// starts.
//
//go:embed shipped.json
var shippedJSON []byte

type shipped struct {
	Providers []struct {
		Code  string `json:"code"`
		Title string `json:"title"`
	} `json:"providers"`
	Zones []struct {
		Provider string `json:"provider"`
		Code     string `json:"code"`
		Title    string `json:"title"`
		Region   string `json:"region"`
	} `json:"zones"`
	Types []struct {
		Provider      string    `json:"provider"`
		Code          string    `json:"code"`
		GPU           string    `json:"gpu"`
		GPUCount      int32     `json:"gpu_count"`
		GPUVRAMGB     int32     `json:"gpu_vram_gb"`
		CPUCount      int32     `json:"cpu_count"`
		RAMGB         int32     `json:"ram_gb"`
		BandwidthMbps int32     `json:"bandwidth_mbps"`
		PricePerHour  money.EUR `json:"price_per_hour"`
		Zones         []string  `json:"zones"`
		Withheld      string    `json:"withheld"` // why it is known but not offered
	} `json:"types"`
	Models []struct {
		Name           string          `json:"name"`
		Title          string          `json:"title"`
		Kind           Kind            `json:"kind"`
		RequiredVRAMGB int32           `json:"required_vram_gb"`
		ContextLength  int32           `json:"context_length"`
		VolumeGB       int32           `json:"volume_gb"`
		Simulated      bool            `json:"simulated"`
		Input          money.EUR       `json:"input"`
		Output         money.EUR       `json:"output"`
		Engine         json.RawMessage `json:"engine"` // vLLM when it says nothing
	} `json:"models"`
}

func readShipped() (shipped, error) {
	var c shipped
	dec := json.NewDecoder(bytes.NewReader(shippedJSON))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, fmt.Errorf("read the shipped catalogue: %w", err)
	}
	for i := range c.Models {
		m := &c.Models[i]
		if m.Engine != nil {
			continue
		}
		engine, err := json.Marshal(map[string]any{
			"kind": "exec", "command": []string{"vllm", "serve", m.Name, "--host", "127.0.0.1", "--port", "{port}"},
		})
		if err != nil {
			return c, fmt.Errorf("write the engine settings of %s: %w", m.Name, err)
		}
		m.Engine = engine
	}
	return c, nil
}

// Load brings the shipped catalogue into the database: what is new is added,
// what was shipped before is updated. Prices that somebody has set, offers that
// a provider has refreshed and models that are switched off stay as they are. It
// may run in several processes at once and as often as wanted.
func (s *Service) Load(ctx context.Context) error {
	c, err := readShipped()
	if err != nil {
		return err
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := catalogdb.New(tx)
		if err := q.LockCatalogue(ctx); err != nil {
			return err
		}
		if err := c.loadOffers(ctx, q); err != nil {
			return err
		}
		return c.loadModels(ctx, q)
	})
	if err != nil {
		return fmt.Errorf("load the shipped catalogue: %w", err)
	}
	return nil
}

func (c shipped) loadOffers(ctx context.Context, q *catalogdb.Queries) error {
	for _, p := range c.Providers {
		if err := q.UpsertProvider(ctx, catalogdb.UpsertProviderParams{Code: p.Code, Title: p.Title}); err != nil {
			return fmt.Errorf("provider %s: %w", p.Code, err)
		}
	}
	for _, z := range c.Zones {
		if err := q.UpsertZone(ctx, catalogdb.UpsertZoneParams{
			Provider: z.Provider, Code: z.Code, Title: z.Title, Region: z.Region,
		}); err != nil {
			return fmt.Errorf("zone %s: %w", z.Code, err)
		}
	}
	for _, t := range c.Types {
		if err := q.UpsertType(ctx, catalogdb.UpsertTypeParams{
			Provider: t.Provider, Code: t.Code, Gpu: t.GPU, GpuCount: t.GPUCount, GpuVramGb: t.GPUVRAMGB,
			CpuCount: t.CPUCount, RamGb: t.RAMGB, BandwidthMbps: t.BandwidthMbps,
		}); err != nil {
			return fmt.Errorf("type %s: %w", t.Code, err)
		}
		for _, zone := range t.Zones {
			if err := q.UpsertShippedOffer(ctx, catalogdb.UpsertShippedOfferParams{
				Provider: t.Provider, Zone: zone, Type: t.Code, PricePerHour: t.PricePerHour, Active: t.Withheld == "",
			}); err != nil {
				return fmt.Errorf("offer %s in %s: %w", t.Code, zone, err)
			}
		}
	}
	return nil
}

func (c shipped) loadModels(ctx context.Context, q *catalogdb.Queries) error {
	names := make([]string, len(c.Models))
	for i, m := range c.Models {
		names[i] = m.Name
		id, err := q.UpsertShippedModel(ctx, catalogdb.UpsertShippedModelParams{
			ID: uuid.Must(uuid.NewV7()), Name: m.Name, Title: m.Title, Kind: string(m.Kind), RequiredVramGb: m.RequiredVRAMGB,
			ContextLength: m.ContextLength, VolumeGb: m.VolumeGB, Simulated: m.Simulated, Engine: m.Engine,
		})
		if err != nil {
			return fmt.Errorf("model %s: %w", m.Name, err)
		}
		if err := q.InsertShippedPrice(ctx, catalogdb.InsertShippedPriceParams{ModelID: id, Input: m.Input, Output: m.Output}); err != nil {
			return fmt.Errorf("price of %s: %w", m.Name, err)
		}
	}
	return q.RetireShippedModels(ctx, names)
}
