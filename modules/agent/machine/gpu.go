package machine

import (
	"context"
	"encoding/csv"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// query names the columns that ParseGPUs reads, in its order.
const query = "index,uuid,name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw"

// smiTimeout is long for a driver that has to wake its cards first.
const smiTimeout = 8 * time.Second

// GPUs asks the driver's nvidia-smi for the machine's graphics processors. A
// machine without the program has none; the error is about one that has it and
// does not answer.
func GPUs(ctx context.Context) ([]wire.GPU, error) {
	program, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, smiTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "--query-gpu="+query, "--format=csv,noheader,nounits")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("ask nvidia-smi: %w", err)
	}
	return ParseGPUs(string(out))
}

// ParseGPUs reads what nvidia-smi prints for query in the format
// csv,noheader,nounits: one line for each processor; memory in MiB, power in
// watts. What it cannot tell it prints in brackets, as "[N/A]", "[Not
// Supported]" or "[Unknown Error]"; that figure is then absent.
func ParseGPUs(text string) ([]wire.GPU, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.TrimLeadingSpace = true
	r.FieldsPerRecord = strings.Count(query, ",") + 1
	r.LazyQuotes = true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read nvidia-smi: %w", err)
	}
	gpus := make([]wire.GPU, 0, len(rows))
	for _, row := range rows {
		index, err := strconv.Atoi(strings.TrimSpace(row[0]))
		if err != nil {
			return nil, fmt.Errorf("read nvidia-smi: %w", err)
		}
		gpus = append(gpus, wire.GPU{
			Index: index, UUID: known(row[1]), Name: known(row[2]),
			Utilisation: number(row[3]), MemoryUsed: mebibytes(row[4]), MemoryTotal: mebibytes(row[5]),
			Temperature: number(row[6]), Power: number(row[7]),
		})
	}
	return gpus, nil
}

func known(field string) string {
	if field = strings.TrimSpace(field); strings.HasPrefix(field, "[") {
		return ""
	}
	return field
}

func number(field string) *float64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
	if err != nil {
		return nil
	}
	return figure(v)
}

func mebibytes(field string) *int64 {
	v, err := strconv.ParseInt(strings.TrimSpace(field), 10, 64)
	if err != nil || v < 0 || v > 1<<30 {
		return nil
	}
	v <<= 20
	return &v
}
