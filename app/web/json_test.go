package web_test

import (
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

// B08, B21: what a JSON body may look like.
func TestReadJSON_B08_B21_refusals(t *testing.T) {
	t.Parallel()
	type engine struct {
		Kind string `json:"kind"`
	}
	type request struct {
		Name   string    `json:"name"`
		Min    int       `json:"min"`
		Engine engine    `json:"engine"`
		At     time.Time `json:"at"`
		Floor  *big.Int  `json:"floor"`
		Owner  *struct {
			ID string `json:"id" required:"true"`
		} `json:"owner"`
	}
	s := newSite(t, func(r *web.Router) {
		r.Handle(http.MethodPost, "/api/v1/x", open, func(c *echo.Context) error {
			var v request
			if err := web.ReadJSON(c, &v); err != nil {
				return err
			}
			return c.JSON(http.StatusOK, v)
		})
	})
	const asJSON = "application/json; charset=utf-8"
	for name, c := range map[string]struct {
		media, body string
		status      int
		want        string
	}{
		"good":           {asJSON, `{"name":"a","min":1}`, 200, `"name":"a"`},
		"unknown field":  {asJSON, `{"name":"a","role":"owner"}`, 400, `"pointer":"/role"`},
		"wrong type":     {asJSON, `{"min":"10"}`, 400, `"pointer":"/min"`},
		"nested":         {asJSON, `{"engine":{"kind":7}}`, 400, `"pointer":"/engine/kind"`},
		"no moment":      {asJSON, `{"at":"tomorrow"}`, 400, "Write it as 2026-01-31T12:00:00Z."},
		"whose moment":   {asJSON, `{"at":"tomorrow"}`, 400, `"pointer":"/at"`},
		"an own type":    {asJSON, `{"min":1,"floor":"much"}`, 400, `"pointer":"/floor"`},
		"and its reason": {asJSON, `{"floor":"much"}`, 400, "floor cannot be accepted: math/big: cannot unmarshal"},
		"a missing one":  {asJSON, `{"owner":{}}`, 400, `"pointer":"/owner/id"`},
		"null for it":    {asJSON, `{"owner":{"id":null}}`, 400, "The field owner.id is missing."},
		"an empty one":   {asJSON, `{"owner":{"id":""}}`, 200, `"id":""`},
		"fraction":       {asJSON, `{"min":1.5}`, 400, "min is a JSON number"},
		"not an object":  {asJSON, `[1]`, 400, "JSON array where an object"},
		"syntax":         {asJSON, `{"name":}`, 400, "at byte 9"},
		"cut":            {asJSON, `{"name":"a`, 400, "ends too early"},
		"empty":          {asJSON, ``, 400, "The body is empty."},
		"trailing":       {asJSON, `{} {}`, 400, "Something follows"},
		"trailing brace": {asJSON, `{}}`, 400, "Something follows"},
		"form":           {"application/x-www-form-urlencoded", `name=a`, 415, "unsupported_media_type"},
		"no type":        {"", `{}`, 415, "Content-Type: application/json"},
		"too large":      {asJSON, `{"name":"` + strings.Repeat("x", 64) + `"}`, 413, "64 bytes"},
	} {
		rec := s.do("POST", "/api/v1/x", c.body, "Content-Type", c.media)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s: %d %s; want %d with %q", name, rec.Code, rec.Body, c.status, c.want)
		}
	}

	// A body that does not say how long it is, and does not end.
	req := httptest.NewRequest(http.MethodPost, "/api/v1/x", io.MultiReader(
		strings.NewReader(`{"name":"`), strings.NewReader(strings.Repeat("x", 1<<16))))
	req.ContentLength = -1
	req.Header.Set("Content-Type", asJSON)
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	if rec.Code != 413 || rec.Header().Get("Connection") != "close" {
		t.Errorf("endless body: %d %s", rec.Code, rec.Body)
	}
}
