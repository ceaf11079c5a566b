package api

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"

	"github.com/google/uuid"
	"github.com/swaggest/jsonschema-go"
	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

// problemType is the media type of every error.
const problemType = "application/problem+json"

// The names of the security schemes.
const (
	byKey     = "key"
	bySession = "session"
)

var parameter = regexp.MustCompile(`:([a-z]+)`)

// document writes the OpenAPI 3.1 document of the table.
func (a *API) document(table []route) ([]byte, error) {
	r := openapi31.NewReflector()
	r.Spec.Info.WithTitle("Inventiv").WithVersion(a.Version.Version).WithDescription(
		"Deploy models on rented or owned GPUs, watch them, and see what they cost. Money is a decimal string in EUR, a moment is RFC 3339 in UTC.")
	r.Spec.SetHTTPBearerTokenSecurity(byKey, "", "An API key with the scope admin.")
	r.Spec.SetAPIKeySecurity(bySession, a.Guard.Cookies.Clear().Name, openapi.InCookie, "The session of a member.")
	describeTypes(&r.Reflector)
	for _, row := range table {
		if err := a.describe(r, row); err != nil {
			return nil, fmt.Errorf("document %s %s: %w", row.method, row.path, err)
		}
	}
	text, err := r.Spec.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return text, nil
}

// describeTypes says how types are written that are not what they look like.
func describeTypes(r *jsonschema.Reflector) {
	amount := jsonschema.Schema{}
	amount.AddType(jsonschema.String)
	amount.WithPattern(`^-?[0-9]+(\.[0-9]{1,9})?$`).WithDescription("EUR, exact.").WithExamples("0.7875")
	r.AddTypeMapping(money.EUR(0), amount)
	id := jsonschema.Schema{}
	id.AddType(jsonschema.String)
	id.WithFormat("uuid")
	r.AddTypeMapping(uuid.UUID{}, id)
	ours := regexp.MustCompile(`^(Api|Money|Uuid|Web|Wire)`) // packages that a name would begin with
	generic := regexp.MustCompile(`\[.*\.([A-Za-z]+)\]`)
	r.DefaultOptions = append(r.DefaultOptions, jsonschema.InterceptDefName(func(t reflect.Type, name string) string {
		if m := generic.FindStringSubmatch(t.Name()); m != nil {
			return m[1] + "List"
		}
		return ours.ReplaceAllString(name, "")
	}), jsonschema.InterceptNullability(func(p jsonschema.InterceptNullabilityParams) {
		p.Schema.RemoveType(jsonschema.Null) // what is missing is left out
	}))
}

func (a *API) describe(r *openapi31.Reflector, row route) error {
	o, err := r.NewOperationContext(row.method, Base+parameter.ReplaceAllString(row.path, "{$1}"))
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	o.SetSummary(row.summary)
	o.SetTags(row.group)
	o.SetID(operationID(row))
	if !row.public {
		o.AddSecurity(byKey)
		o.AddSecurity(bySession)
		o.SetDescription("Needs the permission " + string(row.need) + ".")
	}
	if row.in != (None{}) {
		o.AddReqStructure(row.in)
	}
	if row.method == http.MethodPost {
		o.AddReqStructure(struct {
			Key string `header:"Idempotency-Key" minLength:"1" maxLength:"255" description:"The same request with the same key within a day is done once."`
		}{})
	}
	out := row.out
	if row.status == http.StatusNoContent {
		out = nil
	}
	o.AddRespStructure(out, openapi.WithHTTPStatus(row.status))
	o.AddRespStructure(web.Problem{}, openapi.WithContentType(problemType), func(u *openapi.ContentUnit) {
		u.IsDefault, u.Description = true, "What happened, why, and what to do."
	})
	return r.AddOperation(o)
}

// operationID is a name that programs make functions of, such as
// post_deployments_ref_scale.
func operationID(row route) string {
	return strings.ToLower(row.method) + strings.NewReplacer("/", "_", ":", "").Replace(row.path)
}
