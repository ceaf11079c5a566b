package auth

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/web"
)

// PassiveHeader marks a request that a page makes by itself, to refresh what it
// shows: it does not keep a session from going idle, nor does an event stream.
const PassiveHeader = "Inventiv-Passive"

// Guard lets people and programs in, each route by its policy. Make it with
// NewGuard.
type Guard struct {
	auth    *Service
	Cookies Cookies
}

// NewGuard returns a guard for a service that people reach at publicURL.
func NewGuard(s *Service, publicURL string) *Guard {
	return &Guard{auth: s, Cookies: Cookies{secure: strings.HasPrefix(publicURL, "https://"), life: s.opts.SessionLife}}
}

var _ web.Policy = Policy{}

// Policy says who may use a route of app/web.
type Policy struct {
	name string
	may  func(*echo.Context) (Actor, error) // nil: everybody
}

// Name describes the policy.
func (p Policy) Name() string { return p.name }

// Wrap returns a handler that calls next for those who may, with the Actor in
// the request's context (see From).
func (p Policy) Wrap(next echo.HandlerFunc) echo.HandlerFunc {
	if p.may == nil {
		return next
	}
	return func(c *echo.Context) error {
		actor, err := p.may(c)
		if err != nil {
			return err
		}
		actor.IP, actor.RequestID = c.RealIP(), web.RequestID(c.Request().Context())
		c.SetRequest(c.Request().WithContext(With(c.Request().Context(), actor)))
		return next(c)
	}
}

// Public lets everybody in.
func (g *Guard) Public() Policy { return Policy{name: "public"} }

// SignedIn lets every session in, also one without an organisation.
func (g *Guard) SignedIn() Policy { return Policy{name: "session", may: g.session} }

// Session lets a session in whose member has the permission.
func (g *Guard) Session(p Permission) Policy {
	return Policy{name: "session " + string(p), may: needing(p, g.session)}
}

// SessionOrKey lets in a session, or an API key with the scope, that has the
// permission. A request that comes with both is refused: one of them is not what
// its sender believes.
func (g *Guard) SessionOrKey(p Permission, scope Scopes) Policy {
	return Policy{
		name: "session or key " + strings.Join(scope.Names(), " ") + ": " + string(p),
		may: needing(p, func(c *echo.Context) (Actor, error) {
			r := c.Request()
			switch hasKey, hasCookie := hasCredential(r.Header), g.Cookies.Token(r) != ""; {
			case hasKey && hasCookie:
				return Actor{}, errAmbiguous
			case hasKey:
				return g.key(r, scope)
			case hasCookie:
				return g.session(c)
			}
			return Actor{}, errMissingKey
		}),
	}
}

func needing(p Permission, who func(*echo.Context) (Actor, error)) func(*echo.Context) (Actor, error) {
	return func(c *echo.Context) (Actor, error) {
		actor, err := who(c)
		if err == nil {
			err = Need(actor, p)
		}
		return actor, err
	}
}

func (g *Guard) session(c *echo.Context) (Actor, error) {
	r := c.Request()
	token := g.Cookies.Token(r)
	if token == "" {
		return Actor{}, errSessionEnded
	}
	look := g.auth.Authenticate
	if r.Header.Get(PassiveHeader) != "" || strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		look = g.auth.Peek
	}
	return look(r.Context(), token)
}

func (g *Guard) key(r *http.Request, scope Scopes) (Actor, error) {
	token, err := Credential(r.Header)
	if err != nil {
		return Actor{}, err
	}
	return g.auth.AuthenticateKey(r.Context(), token, r.RemoteAddr, scope)
}

// AuthenticateKey returns who acts with an API key that has the scope and is
// used from the address remote, with the role its owner has at this moment. It
// fails as KeyTable.Check and Principal.MayCallFrom do, and with fault.Denied,
// scope_missing.
func (s *Service) AuthenticateKey(ctx context.Context, token, remote string, scope Scopes) (Actor, error) {
	p, err := s.Keys.Check(ctx, token)
	if err == nil {
		err = p.MayCallFrom(remote)
	}
	if err != nil {
		return Actor{}, err
	}
	if !p.Scopes.Has(scope) {
		return Actor{}, fault.Newf(fault.Denied, "This API key does not have the scope %s, or its owner may no longer use it.",
			strings.Join(scope.Names(), " ")).WithFix("Use or make a key with this scope.").WithKind("scope_missing")
	}
	return s.keyActor(ctx, p)
}

var (
	errAmbiguous = fault.New(fault.Invalid, "The request carries more than one credential.").
			WithFix("Send exactly one: Authorization: Bearer, X-API-Key, or a session's cookie.").WithKind("ambiguous_credentials")
	errMissingKey = fault.New(fault.Signin, "The request carries no API key.").
			WithFix("Send Authorization: Bearer sk-inv-…").WithKind("missing_api_key")
)

// Credential returns the one API key in a request's headers: Authorization:
// Bearer, or X-API-Key. It fails with fault.Signin, missing_api_key, and with
// fault.Invalid, ambiguous_credentials, when there is more than one, even of
// the same. It does not look at the key itself and allocates nothing.
func Credential(h http.Header) (string, error) {
	bearer, plain := h["Authorization"], h["X-Api-Key"]
	switch {
	case len(bearer)+len(plain) == 0:
		return "", errMissingKey
	case len(bearer)+len(plain) > 1:
		return "", errAmbiguous
	case len(plain) == 1:
		return plain[0], nil
	}
	scheme, token, _ := strings.Cut(bearer[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", errMissingKey
	}
	return strings.TrimLeft(token, " "), nil
}

func hasCredential(h http.Header) bool { return len(h["Authorization"])+len(h["X-Api-Key"]) > 0 }

// Cookies makes and reads the cookie of a session. Over https it carries the
// __Host- prefix, so that no other host of the domain can set it.
type Cookies struct {
	secure bool
	life   time.Duration
}

func (k Cookies) name() string {
	if k.secure {
		return "__Host-inventiv_sid"
	}
	return "inventiv_sid"
}

// Set returns the cookie that holds a session's token.
func (k Cookies) Set(token string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure follows the public URL: without TLS a browser would not send the cookie back
		Name: k.name(), Value: token, Path: "/", MaxAge: int(k.life.Seconds()),
		Secure: k.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// Clear returns the cookie that takes the session's away.
func (k Cookies) Clear() *http.Cookie {
	c := k.Set("") //nolint:gosec // as in Set
	c.MaxAge = -1
	return c
}

// Token returns the session's token of a request, and an empty one when there
// is none, or two of which one must be somebody else's.
func (k Cookies) Token(r *http.Request) string {
	found := r.CookiesNamed(k.name())
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}
