package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/keyring"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth/internal/authdb"
)

// Answer is what a request was answered with.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// Claim is the right, and the duty, to answer a request for the first time:
// Finish it or Abandon it. One that a crash leaves behind ends after five
// minutes.
type Claim struct {
	s            *Service
	organisation uuid.UUID
	key          string
	at           time.Time
}

// Idempotency looks at a request that names an idempotency key, before it is
// done. It returns a claim for a new one, and the first answer, with replayed
// true, for one that was answered within 24 hours. request identifies what is
// asked: method, path and body.
//
// It fails with fault.Invalid, kind idempotency_mismatch, when the key was used
// for something else or by somebody else, with fault.Conflict, in_progress,
// while the first request is at work, and with fault.Invalid,
// invalid_idempotency_key, for a key that is empty or longer than 255.
func (s *Service) Idempotency(ctx context.Context, actor Actor, key string, request []byte) (c Claim, a Answer, replayed bool, err error) {
	if key == "" || len(key) > 255 {
		return c, a, false, fault.New(fault.Invalid, "An Idempotency-Key has 1 to 255 characters.").
			WithFix("Send a fresh UUID with each new request.").WithKind("invalid_idempotency_key")
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", actor.Ref()) // another's answer may show a secret that is his
	sum.Write(request)
	hash := sum.Sum(nil)

	at, err := s.q().BeginRequest(ctx, authdb.BeginRequestParams{OrganisationID: actor.Organisation, Key: key, RequestHash: hash})
	if err == nil {
		return Claim{s: s, organisation: actor.Organisation, key: key, at: at}, a, false, nil
	}
	if !none(err) {
		return c, a, false, fmt.Errorf("claim the idempotency key: %w", err)
	}
	r, err := s.q().RequestByKey(ctx, authdb.RequestByKeyParams{OrganisationID: actor.Organisation, Key: key})
	switch {
	case none(err), err == nil && r.Status == nil && subtle.ConstantTimeCompare(r.RequestHash, hash) == 1:
		return c, a, false, fault.New(fault.Conflict, "The first request with this Idempotency-Key is still at work.").
			WithFix("Wait for its answer, or ask again in a moment.").WithKind("in_progress")
	case err != nil:
		return c, a, false, fmt.Errorf("look up the idempotency key: %w", err)
	case subtle.ConstantTimeCompare(r.RequestHash, hash) != 1:
		return c, a, false, fault.New(fault.Invalid, "This Idempotency-Key was used for another request.").
			WithFix("Send a fresh key with each new request.").WithKind("idempotency_mismatch")
	}
	body, err := s.ring.Open(answerPlace(actor.Organisation, key), r.Body)
	if err != nil {
		return c, a, false, fmt.Errorf("open the kept answer: %w", err)
	}
	return c, Answer{Status: int(*r.Status), ContentType: r.ContentType, Body: body}, true, nil
}

// Finish keeps the answer for whoever asks the same again. A claim that has
// ended meanwhile changes nothing.
func (c Claim) Finish(ctx context.Context, a Answer) error {
	_, err := c.s.q().FinishRequest(ctx, authdb.FinishRequestParams{
		OrganisationID: c.organisation, Key: c.key, ClaimedAt: c.at, Status: int32(a.Status), ContentType: a.ContentType,
		Body: c.s.ring.Seal(answerPlace(c.organisation, c.key), a.Body), // it may show a new API key
	})
	if err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	return nil
}

// Abandon gives the claim back, so that the request may be tried again: it
// failed, and nothing was done.
func (c Claim) Abandon(ctx context.Context) error {
	err := c.s.q().AbandonRequest(ctx, authdb.AbandonRequestParams{OrganisationID: c.organisation, Key: c.key, ClaimedAt: c.at})
	if err != nil {
		return fmt.Errorf("give the idempotency key back: %w", err)
	}
	return nil
}

func answerPlace(organisation uuid.UUID, key string) string {
	return keyring.Place("auth.idempotency", "body", organisation.String(), key)
}
