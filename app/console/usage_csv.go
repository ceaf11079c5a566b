package console

import (
	"cmp"
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// dearest puts the row that is worth most first, and orders equals by name.
func dearest(a, b views.UsageRow) int {
	return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Name, b.Name))
}

// csvPage is how many records are read at a time.
const csvPage = 1000

// csvHeader is stable: new columns are added at its end.
var csvHeader = []string{
	"request_id", "started_at", "key_id", "key_name", "user_id", "user_email", "model", "path", "upstream_id", "upstream_name",
	"status", "http_status", "error", "streamed", "prompt_tokens", "completion_tokens", "cached_tokens", "usage_source",
	"input_price_eur_per_million", "output_price_eur_per_million", "cost_eur", "first_token_us", "duration_us", "asked",
	"retried",
}

// getUsageCSV serves GET /usage.csv: every request of the period, with the same
// rights as the page, streamed page by page.
func (p *Console) getUsageCSV(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	span := periodOf(c.QueryParam("period"), time.Now())
	n, err := p.names(ctx, a)
	if err != nil {
		return err
	}
	filter := gateway.RecordFilter{From: span.from, To: span.to, Limit: csvPage}
	page, err := p.Gateway.Records(ctx, a, filter)
	if err != nil {
		return err //nolint:wrapcheck // says enough
	}
	h := c.Response().Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="usage-`+span.from.Format(time.DateOnly)+"-"+span.to.Format(time.DateOnly)+`.csv"`)
	w := csv.NewWriter(c.Response())
	if err := w.Write(csvHeader); err != nil {
		return err //nolint:wrapcheck // the reader left
	}
	for len(page) > 0 {
		for _, r := range page {
			if err := w.Write(csvRecord(r, n)); err != nil {
				return err //nolint:wrapcheck // the reader left
			}
		}
		filter.Before = page[len(page)-1].Position()
		if len(page) < csvPage {
			break
		}
		if page, err = p.Gateway.Records(ctx, a, filter); err != nil {
			// The file has begun: cutting the connection is the only way left to
			// say that it is not whole.
			p.Log.ErrorContext(ctx, "usage export cut", "request", web.RequestID(ctx), "err", err)
			panic(http.ErrAbortHandler)
		}
	}
	w.Flush()
	return w.Error() //nolint:wrapcheck // the reader left
}

func csvRecord(r gateway.Record, n names) []string {
	key, who := n.key(r.KeyID, r.UserID)
	cells := []string{
		r.RequestID.String(), r.StartedAt.UTC().Format(time.RFC3339Nano), idText(r.KeyID), key, idText(r.UserID), who,
		r.Model, r.Path, r.UpstreamID.String(), n.upstream(r.UpstreamID, r.Endpoint), r.Status, strconv.Itoa(r.HTTPStatus), r.Error,
		strconv.FormatBool(r.Streamed), count(r.PromptTokens), count(r.CompletionTokens), count(r.CachedTokens), r.UsageSource,
		r.InputPrice.String(), r.OutputPrice.String(), r.Cost.String(), count(r.FirstToken.Microseconds()), count(r.Duration.Microseconds()), r.Asked,
		strconv.FormatBool(r.Retried),
	}
	for i, cell := range cells {
		cells[i] = unarmed(cell)
	}
	return cells
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// unarmed keeps a spreadsheet from taking a name for a formula. Numbers stay
// numbers.
func unarmed(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return cell
	}
	if _, err := strconv.ParseFloat(cell, 64); err == nil {
		return cell
	}
	return "'" + cell
}
