package instance

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/internal/instancedb"
)

// joinLife is how long a join token may be used.
const joinLife = 30 * time.Minute

// boot waits until the server runs, has an address and its network rules.
func (s *Service) boot(ctx context.Context, p Provider, c *claim) (outcome, error) {
	server, err := p.Server(ctx, c.ref())
	switch KindOf(err) {
	case "":
	case KindNotFound:
		return c.fail(ReasonProviderDeleted, ""), nil
	default:
		return c.trouble(err), nil
	}
	out := outcome{server: &server}
	pause := func(why Reason) (outcome, error) {
		out.reason, out.after, out.failed = why, backoff(min(c.Attempts, 4)), true
		return out, nil
	}
	switch {
	case server.State == ServerStopped || server.State == ServerStopping:
		return c.fail(ReasonServerStopped, "The server fell back to stopped while it started."), nil
	case server.State != ServerRunning:
		return pause(ReasonWaitingServer)
	case server.Address == "":
		return pause(ReasonWaitingAddress)
	case c.Step == StepNetworkSecured && !server.Secured:
		return pause(ReasonWaitingNetwork)
	}
	out.done = true
	return out, nil
}

// reach waits until the server can be installed.
func (s *Service) reach(ctx context.Context, p Provider, c *claim) (outcome, error) {
	err := p.Reach(ctx, c.ref())
	switch KindOf(err) {
	case "":
		return outcome{done: true}, nil
	case KindNotFound:
		return c.fail(ReasonProviderDeleted, ""), nil
	case KindInvalid: // it is not the server it should be
		return c.fail(ReasonProviderRefused, sentenceOf(err, ReasonProviderRefused)), nil
	case KindTransient:
		out := wait(ReasonWaitingReachable, backoff(min(c.Attempts, 4)), sentenceOf(err, ReasonWaitingReachable))
		out.failed = true
		return out, nil
	}
	return c.trouble(err), nil
}

// install has the provider put the agent on the server and waits for it to
// join.
func (s *Service) install(ctx context.Context, p Provider, c *claim) (outcome, error) {
	target := c.ServerID + "/" + strconv.Itoa(c.Generation)
	ops, err := operations(ctx, s.q(), c.ID)
	if err != nil {
		return outcome{}, fmt.Errorf("read the operations: %w", err)
	}
	installed := false
	for _, op := range ops {
		installed = installed || op.Kind == OpInstall && op.Target == target && op.Status == OpConfirmed
	}
	if !installed {
		return s.installOnce(ctx, p, c, target)
	}
	node, err := s.nodeRow(ctx, c.ID)
	if err != nil {
		return outcome{}, err
	}
	if node == nil || node.JoinedAt == nil || int(node.Generation) != c.Generation {
		return wait(ReasonWaitingAgent, 2*time.Second, ""), nil
	}
	return outcome{done: true}, nil
}

func (s *Service) installOnce(ctx context.Context, p Provider, c *claim, target string) (outcome, error) {
	token := s.joinToken(c.ID, c.Generation)
	hash := sha256.Sum256([]byte(token))
	err := s.q().OpenJoin(ctx, instancedb.OpenJoinParams{
		InstanceID: c.ID, Generation: int32(c.Generation), JoinTokenHash: hash[:], Life: joinLife.Seconds(),
	})
	if err != nil {
		return outcome{}, fmt.Errorf("open the join: %w", err)
	}
	id, err := s.send(ctx, c, OpInstall, target)
	if err != nil {
		return outcome{}, err
	}
	done, err := p.Install(ctx, c.ref(), InstallSpec{
		Instance: c.ID, Generation: c.Generation, Endpoint: s.endpoint, CA: s.CAPEM(), Token: token,
	})
	s.failpoint("install.answered")
	switch KindOf(err) {
	case "":
	case KindNotFound:
		return c.fail(ReasonProviderDeleted, ""), nil
	case KindInvalid:
		return c.fail(ReasonProviderRefused, sentenceOf(err, ReasonProviderRefused)), nil
	default:
		return c.trouble(err), nil
	}
	if !done.Done {
		message := ""
		if done.Phase != "" {
			message = "The agent is being installed: " + done.Phase + "."
		}
		return wait(ReasonWaitingInstall, 2*time.Second, message), nil
	}
	out := wait(ReasonWaitingAgent, 0, "")
	out.ops = []settledOperation{{id, OpConfirmed, target, ""}}
	return out, nil
}

// joinToken returns the token of one generation of an instance. It is derived,
// so an installation that is repeated after a crash hands over the same one.
func (s *Service) joinToken(id uuid.UUID, generation int) wire.Secret {
	mac := hmac.New(sha256.New, s.keyring.Derive("join-token"))
	fmt.Fprintf(mac, "%s/%d", id, generation)
	return wire.Secret(base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
}

// nodeRow returns the instance's node, or nil before there is one.
func (s *Service) nodeRow(ctx context.Context, id uuid.UUID) (*instancedb.NodeRow, error) {
	row, err := s.q().Node(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // most instances have no node at first; that is no error
	}
	if err != nil {
		return nil, fmt.Errorf("read the node: %w", err)
	}
	return &row, nil
}
