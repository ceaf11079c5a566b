package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/anthropic"
	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/openai"
)

// Caller is whose request it is and who pays for it.
type Caller struct {
	Organisation uuid.UUID
	KeyID        uuid.UUID // nil for a member
	UserID       uuid.UUID // nil for a machine's key
}

const (
	modelsPath = "/v1/models"
	retrySoon  = 5 * time.Second // for what is over in moments
	lingerTime = time.Second     // for what is on its way of a body that nobody wants
)

// ServeHTTP answers requests below /v1/ that carry an API key.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.Must(uuid.NewV7())
	if !strings.HasPrefix(r.URL.Path, "/v1/") {
		r.URL.Path = cmp.Or(aside[r.URL.Path], r.URL.Path)
	}
	at, refused := surfaceOf(r)
	if refused != nil {
		turnAway(w, r, refused, id.String())
		return
	}
	token, refused := credentials(r.Header)
	if refused != nil {
		turnAway(w, r, refused, id.String())
		return
	}
	caller, refused := s.callerOf(r.Context(), token, r.RemoteAddr)
	if refused != nil {
		turnAway(w, r, refused, id.String())
		return
	}
	s.serve(w, r, caller, id, at)
}

// turnAway refuses a request whose body was not looked at. Its client may have
// one to send yet, and does not get to keep the connection for that.
func turnAway(w http.ResponseWriter, r *http.Request, e *openai.Error, requestID string) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingerTime)) // a test's recorder has none
	Refuse(w, r, e, requestID)
}

// callerOf returns whom a key acts for that is used from an address.
func (s *Service) callerOf(ctx context.Context, token, remote string) (Caller, *openai.Error) {
	principal, err := s.keys.Check(ctx, token)
	if err == nil {
		err = principal.MayCallFrom(remote)
	}
	if err != nil {
		return Caller{}, s.keyRefused(ctx, err)
	}
	if !principal.Scopes.Has(auth.ScopeInference) {
		return Caller{}, &openai.Error{
			Status: http.StatusForbidden, Type: openai.Permission, Code: "scope_missing",
			Message: "This API key lacks the scope inference; use one that has it.",
		}
	}
	return Caller{Organisation: principal.Organisation, KeyID: principal.KeyID, UserID: principal.UserID}, nil
}

// ServeAs answers like ServeHTTP for a caller who is known otherwise. The
// path must be one below /v1/.
func (s *Service) ServeAs(w http.ResponseWriter, r *http.Request, c Caller) {
	id := uuid.Must(uuid.NewV7())
	at, refused := surfaceOf(r)
	if refused != nil {
		turnAway(w, r, refused, id.String())
		return
	}
	s.serve(w, r, c, id, at)
}

// serve answers a request whose path is good; at is nil for a list of models.
func (s *Service) serve(w http.ResponseWriter, r *http.Request, c Caller, id uuid.UUID, at *surface) {
	if !s.Ready() {
		turnAway(w, r, notReady(), id.String())
		return
	}
	if at == nil {
		s.listModels(w, r, c, strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, modelsPath), "/"), id.String())
		return
	}
	x := new(exchange) // field by field: a literal would be made on the stack first, of which thousands wait
	x.control = http.NewResponseController(w)
	x.service, x.w, x.r, x.caller, x.id, x.name, x.started, x.kind = s, w, r, c, id, id.String(), time.Now(), at.kind
	if at.speak != nil {
		x.words = &words{dialect: at.speak(x.name), status: at.status}
	}
	if at.idHeader != "" {
		w.Header()[at.idHeader] = []string{x.name}
	}
	switch refused := x.serve(); {
	case refused == nil:
	case refused.Code == codeClientGone:
		if !x.headed {
			Refuse(w, r, refused, x.name) // it may have closed its side alone
		}
	default:
		s.metrics.refused(x.code(refused))
		x.refuse(refused)
	}
}

// surfaceOf returns the way in that a request takes, nil for a list of models,
// and refuses what is not one of the paths, as written, with its method.
func surfaceOf(r *http.Request) (*surface, *openai.Error) {
	path, method := r.URL.Path, http.MethodPost
	at := surfaces[path]
	switch {
	case r.URL.IsAbs() || r.URL.Host != "" || path == "*":
		return nil, &openai.Error{
			Status: http.StatusBadRequest, Type: openai.InvalidRequest, Code: "invalid_path",
			Message: "The request line must hold a path, such as /v1/chat/completions.",
		}
	case at == nil && (path == modelsPath || strings.HasPrefix(path, modelsPath+"/") && len(path) > len(modelsPath)+1 && !strings.Contains(path, "..")):
		method = http.MethodGet
	case at == nil || r.URL.RawPath != "":
		return nil, &openai.Error{
			Status: http.StatusNotFound, Type: openai.InvalidRequest, Code: "unknown_path",
			Message: "There is nothing at this path. There are /v1/models, " + pathList + ".",
		}
	}
	if r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet) {
		return nil, &openai.Error{
			Status: http.StatusMethodNotAllowed, Type: openai.InvalidRequest, Code: "method_not_allowed",
			Message: "This path takes " + method + " only.",
		}
	}
	switch {
	case at == nil:
		return nil, anthropic.CheckVersion(r.Header)
	case at.check != nil:
		return at, at.check(r.Header)
	}
	return at, nil
}

// credentials returns the API key, of which there must be exactly one. SDKs that
// find it in two settings send it in both headers: that is one still.
func credentials(h http.Header) (string, *openai.Error) {
	bearers, plain := h["Authorization"], h["X-Api-Key"]
	if len(bearers)+len(plain) == 0 {
		return "", &openai.Error{
			Status: http.StatusUnauthorized, Type: openai.Authentication, Code: "missing_api_key",
			Message: "There is no API key. Send `Authorization: Bearer sk-inv-…`.",
		}
	}
	if len(bearers) == 0 && len(plain) == 1 {
		return plain[0], nil
	}
	var scheme, token string
	ok := false
	if len(bearers) == 1 {
		scheme, token, ok = strings.Cut(bearers[0], " ")
		token = strings.TrimLeft(token, " ") // RFC 9110 §11.4 lets there be several
		ok = ok && strings.EqualFold(scheme, "bearer")
	}
	switch {
	case len(bearers) != 1 || len(plain) > 1 || len(plain) == 1 && (!ok || plain[0] != token):
		return "", &openai.Error{
			Status: http.StatusBadRequest, Type: openai.InvalidRequest, Code: "ambiguous_credentials",
			Message: "There is more than one credential. Send one key, as Authorization or as X-API-Key.",
		}
	case !ok:
		return "", &openai.Error{
			Status: http.StatusUnauthorized, Type: openai.Authentication, Code: "malformed_api_key",
			Message: "The Authorization header is not `Bearer` and an API key. Send `Authorization: Bearer sk-inv-…`.",
		}
	}
	return token, nil
}

// keyRefused turns what the key table says into an answer.
func (s *Service) keyRefused(ctx context.Context, err error) *openai.Error {
	f := fault.As(err)
	if f == nil {
		if !errors.Is(err, context.Canceled) {
			s.log.ErrorContext(ctx, "api key not checked", "err", err)
		}
		f = fault.New(fault.Unavailable, "API keys cannot be checked at this moment.").WithKind("auth_unavailable")
	}
	e := &openai.Error{
		Status: http.StatusUnauthorized, Type: openai.Authentication, Code: f.Kind, Message: strings.TrimSpace(f.Text + " " + f.Fix),
	}
	switch f.Code {
	case fault.Denied:
		e.Status, e.Type = http.StatusForbidden, openai.Permission
	case fault.Unavailable:
		e.Status, e.Type, e.Retry, e.RetryAfter = http.StatusServiceUnavailable, openai.ServerError, true, retrySoon
	}
	return e
}

func notReady() *openai.Error {
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Type: openai.ServerError, Code: "starting", Retry: true, RetryAfter: retrySoon,
		Message: "The gateway is starting and does not know its routes yet. Try again in a few seconds.",
	}
}
