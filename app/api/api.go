package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/catalog"
	"github.com/inventiv-it-for-ai/inventiv/modules/finops"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// Base is where every path of the table lies below.
const Base = "/api/v1"

// Config is what the API is made of.
type Config struct {
	Auth      *auth.Service
	Catalog   *catalog.Service
	Instances *instance.Service
	Finops    *finops.Service
	Gateway   *gateway.Service
	Loops     []*loop.Loop // of this process
	Providers []string     // whose machines this process may rent
	PublicURL string       // links that are given out begin with it
	Version   Version
	Guard     *auth.Guard
}

// API answers the routes of the table.
type API struct{ Config }

// New returns the API of c.
func New(c Config) *API { return &API{c} }

// Register adds every route of the table to r, and the document.
func (a *API) Register(r *web.Router) error {
	table := a.table()
	document, err := a.document(table)
	if err != nil {
		return err
	}
	for _, row := range table {
		r.Handle(row.method, Base+row.path, a.policy(row), row.handler)
		if row.alias != "" {
			r.Handle(row.method, row.alias, a.policy(row), row.handler)
		}
	}
	r.GET(Base+"/openapi.json", a.Guard.Public(), func(c *echo.Context) error {
		return c.JSONBlob(http.StatusOK, document)
	})
	return nil
}

func (a *API) policy(r route) web.Policy {
	if r.public {
		return a.Guard.Public()
	}
	return a.Guard.SessionOrKey(r.need, auth.ScopeAdmin)
}

// Access is a route of the table and who may use it, for the table of
// permissions.
type Access struct {
	Method, Path string
	Need         auth.Permission
	Public       bool
}

// Routes lists the table.
func (a *API) Routes() []Access {
	table := a.table()
	all := make([]Access, len(table))
	for i, r := range table {
		all[i] = Access{r.method, Base + r.path, r.need, r.public}
	}
	return all
}

// List is an answer with several things.
type List[T any] struct {
	Items []T `json:"items" required:"true"`
}

// listOf turns the modules' values into the API's.
func listOf[A, B any](from []A, turn func(A) B) List[B] {
	items := make([]B, len(from))
	for i, v := range from {
		items[i] = turn(v)
	}
	return List[B]{items}
}

// None is the answer, or the request, without content.
type None struct{}

// idText is an id, or nothing for the nil one.
func idText(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

type ctx = context.Context
