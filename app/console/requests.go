package console

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

// requestsPage is how many requests a page lists.
const requestsPage = 50

// localTime is how a browser's field for a moment writes it.
const localTime = "2006-01-02T15:04"

// getRequests serves GET /requests. An id of a request leads to its page.
func (p *Console) getRequests(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	form := views.RequestFilter{
		Period: cmp.Or(c.QueryParam("period"), "24h"), From: c.QueryParam("from"), To: c.QueryParam("to"), Model: c.QueryParam("model"),
		Key: c.QueryParam("key"), Member: c.QueryParam("member"), Status: c.QueryParam("status"), Error: c.QueryParam("error"),
		Path: c.QueryParam("path"), Upstream: c.QueryParam("upstream"), Retried: c.QueryParam("retried"), MinDuration: c.QueryParam("min_duration_ms"),
		MinFirstToken: c.QueryParam("min_first_token_ms"), Before: c.QueryParam("before"),
	}
	page := views.Requests{Filter: form, Paths: gateway.Paths(), May: allowed(a)}
	n, err := p.names(ctx, a)
	if err != nil {
		return err
	}
	page.Keys, page.Members = n.choices()
	filter, words, err := readFilter(form, time.Now())
	if id := strings.TrimSpace(c.QueryParam("request_id")); err == nil && id != "" {
		var request uuid.UUID
		if request, err = readID("request_id", id); err == nil {
			return to(c, "/requests/"+request.String())
		}
	}
	var rows []gateway.Record
	if err == nil {
		page.Words, page.Upstream = words, n.upstreams[filter.UpstreamID]
		if page.Upstream == "" && form.Upstream != "" {
			page.Upstream = "one that is gone"
		}
		rows, err = p.Gateway.Records(ctx, a, filter)
	}
	if err != nil {
		why, status, ok := refused(c, err)
		if !ok {
			return err
		}
		page.Refusal = why
		return p.show(c, status, "/requests", page)
	}
	if len(rows) > requestsPage {
		rows = rows[:requestsPage]
		page.Older = rows[requestsPage-1].Position().String()
	}
	for _, r := range rows {
		page.Rows = append(page.Rows, recordRow(r, n))
	}
	return p.show(c, http.StatusOK, "/requests", page)
}

// getRequest serves GET /requests/:id.
func (p *Console) getRequest(c *echo.Context) error {
	ctx, a := c.Request().Context(), actor(c)
	request, err := id(c)
	if err != nil {
		return err
	}
	r, err := p.Gateway.Record(ctx, a, request)
	if err != nil {
		return err //nolint:wrapcheck // a sentence for people
	}
	n, err := p.names(ctx, a)
	if err != nil {
		return err
	}
	return p.show(c, http.StatusOK, "/requests", views.Request{Row: recordRow(r, n), May: allowed(a)})
}

// readFilter reads what a list of requests is to be narrowed to, and says in
// words which time that is.
func readFilter(form views.RequestFilter, now time.Time) (f gateway.RecordFilter, words string, err error) {
	const longest = 500 // bytes; the API takes no more either
	if len(form.Model) > longest || !utf8.ValidString(form.Model+form.Status+form.Error+form.Path) || strings.ContainsRune(form.Model+form.Status+form.Error+form.Path, 0) {
		return f, "", fault.New(fault.Invalid, "This is no model's name.").WithFix("Write it as it is shown in the list, or leave it empty.").WithField("model")
	}
	f = gateway.RecordFilter{Model: form.Model, Status: form.Status, Error: form.Error, Path: form.Path, Limit: requestsPage + 1}
	for _, field := range []struct {
		name, text string
		into       *uuid.UUID
	}{{"key", form.Key, &f.KeyID}, {"member", form.Member, &f.UserID}, {"upstream", form.Upstream, &f.UpstreamID}} {
		if *field.into, err = readID(field.name, field.text); err != nil {
			return f, "", err
		}
	}
	if f.MinDuration, err = readMillis("min_duration_ms", form.MinDuration); err != nil {
		return f, "", err
	}
	if f.MinFirstToken, err = readMillis("min_first_token_ms", form.MinFirstToken); err != nil {
		return f, "", err
	}
	switch form.Retried {
	case "":
	case "true", "false":
		f.Retried = new(form.Retried == "true")
	default:
		return f, "", fault.New(fault.Invalid, "A request was asked of a second server, or it was not.").WithFix("Choose one of those, or any.").WithField("retried")
	}
	var ok bool
	if f.Before, ok = gateway.ParsePosition(form.Before); !ok {
		return f, "", fault.New(fault.Invalid, "The page that was asked for cannot be found.").WithFix("Begin with the newest requests.").WithField("before")
	}
	f.From, f.To, words, err = readTimes(form, now)
	return f, words, err
}

// readTimes reads which time is meant: the moments given, or else the period.
func readTimes(form views.RequestFilter, now time.Time) (from, to time.Time, words string, err error) {
	span := periodOf(form.Period, now)
	if form.From == "" && form.To == "" {
		return span.from, span.to, span.words, nil
	}
	from, to = span.from, now.UTC()
	if form.To != "" {
		if to, err = readMoment("to", form.To); err != nil {
			return from, to, "", err
		}
		from, _ = finops.Month(to)
	}
	if form.From != "" {
		if from, err = readMoment("from", form.From); err != nil {
			return from, to, "", err
		}
	}
	if !from.Before(to) {
		return from, to, "", fault.New(fault.Invalid, "The beginning must be before the end.").WithField("from")
	}
	const shown = "2 Jan 2006, 15:04"
	return from, to, "from " + from.Format(shown) + " to " + to.Format(shown) + " UTC", nil
}

func readMoment(field, text string) (time.Time, error) {
	at, err := time.Parse(localTime, text)
	if err != nil || at.Year() < 2000 || at.Year() > 9999 {
		return at, fault.New(fault.Invalid, "This is no moment.").WithFix("Write it as 2026-01-31T12:00, in UTC.").WithField(field)
	}
	return at, nil
}

func readID(field, text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	v, err := uuid.Parse(text)
	if err != nil || len(text) != len(uuid.Nil.String()) {
		return uuid.Nil, fault.New(fault.Invalid, "This is not an id.").WithFix("An id is written as 018f6b1c-2d3e-7f00-8a9b-0c1d2e3f4a5b.").WithField(field)
	}
	return v, nil
}

func readMillis(field, text string) (time.Duration, error) {
	const day = 24 * 60 * 60 * 1000
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > day {
		return 0, fault.New(fault.Invalid, "This is no number of milliseconds.").WithFix("Write a whole one, up to 86400000, a day.").WithField(field)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// choices lists the keys and the people that a list can be narrowed to, by name.
func (n names) choices() (keys, people []views.Choice) {
	for id, k := range n.keys {
		keys = append(keys, views.Choice{ID: id.String(), Name: k.Name})
	}
	for id, name := range n.people {
		people = append(people, views.Choice{ID: id.String(), Name: name})
	}
	byName := func(a, b views.Choice) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.ID, b.ID))
	}
	slices.SortFunc(keys, byName)
	slices.SortFunc(people, byName)
	return keys, people
}

func recordRow(r gateway.Record, n names) views.RecordRow {
	key, member := n.key(r.KeyID, r.UserID)
	return views.RecordRow{
		ID: r.RequestID.String(), At: r.StartedAt, Key: key, KeyID: idText(r.KeyID), Member: member, Model: r.Model, Asked: r.Asked, Path: r.Path,
		Upstream: n.upstream(r.UpstreamID, r.Endpoint), UpstreamID: r.UpstreamID.String(), Endpoint: r.Endpoint, Retried: r.Retried,
		Status: r.Status, HTTP: r.HTTPStatus, Error: r.Error, Streamed: r.Streamed, Source: r.UsageSource,
		Input: r.PromptTokens, Output: r.CompletionTokens, Cached: r.CachedTokens, FirstToken: r.FirstToken, Took: r.Duration,
		Value: r.Cost, InputPrice: r.InputPrice, OutputPrice: r.OutputPrice,
	}
}
