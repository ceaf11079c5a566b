package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// The headers of a request that may be sent again without being done again.
const (
	idempotencyKey = "Idempotency-Key"
	replayHeader   = "Idempotency-Replayed"
)

// once runs a POST. With an Idempotency-Key it is done once: asked again within
// a day it gets the first answer. A refusal is not kept, for nothing was done.
// Something is created without a key, too, but the answer warns.
func (a *API) once(c *echo.Context, actor auth.Actor, in any, status int, run func() (any, error)) error {
	keys := c.Request().Header.Values(idempotencyKey)
	if len(keys) == 0 {
		if status == http.StatusCreated {
			c.Response().Header().Set("Warning", `299 - "Without an Idempotency-Key, a request that is sent again creates again."`)
		}
		body, err := answer(status, run)
		if err != nil {
			return err
		}
		return send(c, status, body)
	}
	if len(keys) > 1 {
		return badParameter(idempotencyKey, "it is given more than once")
	}
	request, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	asked := c.Request().Method + " " + c.Request().URL.RequestURI() + "\n" + string(request)
	claim, kept, replayed, err := a.Auth.Idempotency(c.Request().Context(), actor, keys[0], []byte(asked))
	if err != nil {
		return err //nolint:wrapcheck // a fault with its sentence
	}
	if replayed {
		c.Response().Header().Set(replayHeader, "true")
		return send(c, kept.Status, kept.Body)
	}
	body, err := answer(status, run)
	// The client may have left; what was done stays done.
	settling, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), 5*time.Second)
	defer cancel()
	if err != nil {
		if err := claim.Abandon(settling); err != nil {
			return err //nolint:wrapcheck // says what failed
		}
		return err
	}
	notKept := claim.Finish(settling, auth.Answer{Status: status, ContentType: echo.MIMEApplicationJSON, Body: body})
	// It was done and is told, also when it could not be kept: a new key's text
	// can never be read again. What the error is about is then in the log.
	return errors.Join(send(c, status, body), notKept)
}

func answer(status int, run func() (any, error)) ([]byte, error) {
	out, err := run()
	if err != nil {
		return nil, err
	}
	return encode(out, status)
}
