package mock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// Knobs are what people and tests turn in mock.json; the file is read at each
// use. The zero value is a cloud that is fast and never fails.
type Knobs struct {
	Delay    Delay              `json:"delay,omitzero"`
	Stock    map[string]int     `json:"stock,omitempty"`    // servers of a "type", or of a "zone/type", that may exist at once
	Failures map[string]Failure `json:"failures,omitempty"` // by operation: create, prepare, power_on, server, reach, install, delete, list, offers
	Prices   map[string]string  `json:"prices,omitempty"`   // EUR per hour by type; "volume" per GB, "address"
}

// Delay slows the cloud down, in milliseconds.
type Delay struct {
	Call   int `json:"call_ms,omitempty"`   // each call
	Boot   int `json:"boot_ms,omitempty"`   // from power-on to running
	Delete int `json:"delete_ms,omitempty"` // from asking to gone
	List   int `json:"list_ms,omitempty"`   // from creation to being listed
}

// Failure makes an operation fail.
type Failure struct {
	Count       int                `json:"count,omitempty"`       // the first so many calls
	Probability float64            `json:"probability,omitempty"` // of each further call
	Kind        instance.ErrorKind `json:"kind,omitempty"`        // unknown when left out
	Text        string             `json:"text,omitempty"`
	Late        bool               `json:"late,omitempty"` // it is done, and the answer is lost
}

// standard prices, per hour: those of the catalogue that is shipped.
var standard = map[string]money.EUR{
	"SIM-L4-1-24G":   787_500_000,
	"SIM-L40S-1-48G": 1_469_916_000,
	"SIM-H100-1-80G": 2_866_500_000,
	"volume":         118_000, // per GB
	"address":        4_000_000,
}

func readKnobs(path string) (Knobs, error) {
	var k Knobs
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err != nil {
		return k, fmt.Errorf("read the mock cloud's knobs: %w", err)
	}
	if err := json.Unmarshal(raw, &k); err != nil {
		return k, fmt.Errorf("read the mock cloud's knobs in %s: %w", path, err)
	}
	for name, price := range k.Prices {
		if _, err := money.Parse(price); err != nil {
			return k, fmt.Errorf("read the price of %s in %s: %w", name, path, err)
		}
	}
	return k, nil
}

// price returns what name costs per hour.
func (k Knobs) price(name string) money.EUR {
	if text, ok := k.Prices[name]; ok {
		if p, err := money.Parse(text); err == nil { // readKnobs refused others
			return p
		}
	}
	return standard[name]
}

// stock returns how many servers of the type may exist in the zone, and whether
// there is a bound.
func (k Knobs) stock(zone, kind string) (int, bool) {
	if n, ok := k.Stock[zone+"/"+kind]; ok {
		return n, true
	}
	n, ok := k.Stock[kind]
	return n, ok
}

func millis(n int) time.Duration { return time.Duration(n) * time.Millisecond }
