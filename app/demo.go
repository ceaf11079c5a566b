package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/db"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

const (
	demoOrganisation = "Demo"
	demoDeployment   = "demo"
	demoModel        = "inventiv/simulated-chat"
)

// demo is what the demo keeps between starts, plain, in DATA_DIR/demo-secrets
// (0600): it is a demo.
type demo struct {
	Password string `json:"password"`
	APIKey   string `json:"api_key"`
	AdminKey string `json:"admin_key"`
	Command  string `json:"engine_command,omitempty"` // --demo-engine-cmd of the last start
	Model    string `json:"model,omitempty"`          // what that command serves
}

// runDemo serves, and meanwhile makes the demo's organisation, keys and
// deployment, or finds those of the last start. When the first token can be had
// through the gateway it writes demo.env and prints how to use it.
func (a *App) runDemo(ctx context.Context, out io.Writer) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.prepareDemo(ctx, out); err != nil && ctx.Err() == nil {
			stop(err)
		}
	}()
	err := a.Run(ctx)
	<-done
	if err == nil { // a clean stop ends the agents too; a killed one leaves them to the next start
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = a.mock.Shutdown(end)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// forgetDemo removes the demo.env of the last start, so that whoever waits for
// the file waits for this one. That of a demo which runs stays: this start will
// be refused.
func forgetDemo(dataDir string) error {
	if served(dataDir) {
		return nil
	}
	if err := os.Remove(filepath.Join(dataDir, "demo.env")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return unwritable(dataDir, err)
	}
	return nil
}

// served reports whether another process that runs is named as the folder's.
func served(dataDir string) bool {
	text, err := os.ReadFile(filepath.Join(dataDir, pidFile))
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && pid > 0 && pid != os.Getpid() && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

func (a *App) demoFile(name string) string { return filepath.Join(a.cfg.DataDir, name) }

// prepareDemo makes what the demo shows, again from its beginning when the
// database is lost meanwhile: all of it may be there already.
func (a *App) prepareDemo(ctx context.Context, out io.Writer) error {
	for until := time.Now().Add(a.cfg.DatabaseWait); ; {
		err := a.makeDemo(ctx, out)
		if !db.IsLost(err) || time.Now().After(until) {
			return err
		}
		a.log.WarnContext(ctx, "the database was lost while the demo was prepared", "err", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (a *App) makeDemo(ctx context.Context, out io.Writer) error {
	if ours, err := a.auth.IsDemo(ctx); err != nil || !ours {
		if err != nil {
			return fmt.Errorf("look whose database this is: %w", err)
		}
		return fault.New(fault.Conflict, "This database was not made by the demo, which would write into it.").
			WithFix("Start without --demo, or name an empty folder with --data-dir.").WithKind("not_a_demo")
	}
	d, err := a.readDemo()
	if err != nil {
		return err
	}
	actor, err := a.demoActor(ctx, &d)
	if err != nil {
		return fmt.Errorf("prepare the demo's admin: %w", err)
	}
	defer func() { _ = a.auth.EndSession(context.WithoutCancel(ctx), actor, actor.SessionID) }()
	if err := a.demoKeys(ctx, actor, &d); err != nil {
		return fmt.Errorf("prepare the demo's keys: %w", err)
	}
	if err := a.writeDemo(d); err != nil {
		return err
	}
	model, err := a.demoDeploy(ctx, actor, &d)
	if err != nil {
		return fmt.Errorf("prepare the demo's deployment: %w", err)
	}
	if err := a.writeDemo(d); err != nil {
		return err
	}
	if err := a.awaitModel(ctx, d.APIKey, model, actor, out); err != nil {
		return err
	}
	return a.announceDemo(d, model, out)
}

// demoActor returns the demo's admin in the demo's organisation; both are made
// at the first start.
func (a *App) demoActor(ctx context.Context, d *demo) (auth.Actor, error) {
	email, client := a.cfg.AdminEmail, auth.Client{UserAgent: "inventiv serve --demo"}
	if d.Password == "" {
		d.Password = rand.Text()
	}
	if _, err := a.auth.BootstrapAdmin(ctx, email, d.Password); err != nil {
		return auth.Actor{}, err //nolint:wrapcheck // wrapped by the caller
	}
	token, err := a.auth.SignIn(ctx, email, d.Password, client)
	if fault.Is(err, fault.Signin) { // demo-secrets was lost
		if err = a.auth.ResetPassword(ctx, email, d.Password); err == nil {
			token, err = a.auth.SignIn(ctx, email, d.Password, client)
		}
	}
	if err != nil {
		return auth.Actor{}, err //nolint:wrapcheck // wrapped by the caller
	}
	actor, err := a.auth.Authenticate(ctx, token)
	if err != nil {
		return auth.Actor{}, err //nolint:wrapcheck // wrapped by the caller
	}
	if err := a.ensureOrganisation(ctx, actor, demoOrganisation, true); err != nil {
		return auth.Actor{}, err
	}
	return a.auth.Authenticate(ctx, token) //nolint:wrapcheck // wrapped by the caller
}

// ensureOrganisation makes the actor's first organisation and makes it the
// current one of its session, unless the actor has one.
func (a *App) ensureOrganisation(ctx context.Context, actor auth.Actor, name string, demo bool) error {
	orgs, err := a.auth.Organisations(ctx, actor)
	if err != nil || len(orgs) > 0 {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	o, err := a.auth.CreateOrganisation(ctx, actor, actor.UserID, name, demo)
	if err != nil {
		return err //nolint:wrapcheck // wrapped by the caller
	}
	return a.auth.SwitchOrganisation(ctx, actor, o.ID) //nolint:wrapcheck // wrapped by the caller
}

// demoKeys makes sure that both keys are good, and makes new ones otherwise.
func (a *App) demoKeys(ctx context.Context, actor auth.Actor, d *demo) error {
	for _, k := range []struct {
		name  string
		scope auth.Scopes
		text  *string
	}{{"demo", auth.ScopeInference, &d.APIKey}, {"demo admin", auth.ScopeAdmin, &d.AdminKey}} {
		switch p, err := a.auth.Keys.Check(ctx, *k.text); {
		case err == nil && p.Organisation == actor.Organisation:
			continue
		case fault.Is(err, fault.Unavailable): // it may be good
			return err //nolint:wrapcheck // wrapped by the caller
		}
		_, text, err := a.auth.CreateKey(ctx, actor, k.name, k.scope, time.Time{}, nil)
		if err != nil {
			return err //nolint:wrapcheck // wrapped by the caller
		}
		*k.text = text
	}
	return nil
}

// demoDeploy makes the one deployment that is wanted and ends what an earlier
// start, with another engine command, has left. It returns the model's name.
func (a *App) demoDeploy(ctx context.Context, actor auth.Actor, d *demo) (string, error) {
	model, name, engine := demoModel, demoDeployment, wire.EngineSpec{}
	if command := a.cfg.DemoEngineCmd; command != "" {
		if d.Command != command || d.Model == "" {
			id, err := askModel(ctx, command, filepath.Join(a.cfg.DataDir, "demo-engine.log"))
			if err != nil {
				return "", err
			}
			d.Command, d.Model = command, id
		}
		if err := a.catalog.EnsureModel(ctx, actor.Organisation, d.Model); err != nil {
			return "", err //nolint:wrapcheck // wrapped by the caller
		}
		words, err := splitCommand(command)
		if err != nil {
			return "", err
		}
		model, engine = d.Model, wire.EngineSpec{Kind: wire.EngineExec, Model: d.Model, Command: words}
		name = demoDeployment + "-" + engine.Fingerprint()[:8]
	}
	deployments, err := a.instances.Deployments(ctx, actor.Organisation)
	if err != nil {
		return "", err //nolint:wrapcheck // wrapped by the caller
	}
	found := false
	for _, dep := range deployments {
		switch {
		case dep.Name == name:
			found = true
			if dep.Stopped || dep.Min == 0 { // and asleep, perhaps
				_, err = a.instances.StartDeployment(ctx, actor, dep.ID.String())
			}
		case dep.Name == demoDeployment || len(dep.Name) == len(demoDeployment)+9 && dep.Name[:len(demoDeployment)+1] == demoDeployment+"-":
			err = a.instances.DeleteDeployment(ctx, actor, dep.ID.String())
		}
		if err != nil {
			return "", err //nolint:wrapcheck // wrapped by the caller
		}
	}
	if found {
		return model, nil
	}
	offers, err := a.mockOffers(ctx)
	if err != nil {
		return "", err
	}
	_, err = a.instances.Deploy(ctx, actor, instance.DeployRequest{Name: name, Model: model, Offers: offers, Min: 1, Max: 1, Engine: engine})
	return model, err //nolint:wrapcheck // wrapped by the caller
}

// mockOffers returns what the mock cloud has to offer.
func (a *App) mockOffers(ctx context.Context) ([]string, error) {
	offers, err := a.catalog.Offers(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by the caller
	}
	var refs []string
	for _, o := range offers {
		if o.Provider == "mock" && o.Active {
			refs = append(refs, o.Ref())
		}
	}
	if len(refs) == 0 {
		return nil, errors.New("the catalogue has no offer of the mock provider")
	}
	return refs[:1], nil
}

func (a *App) readDemo() (demo, error) {
	var d demo
	text, err := os.ReadFile(a.demoFile("demo-secrets"))
	if errors.Is(err, os.ErrNotExist) {
		return d, nil
	}
	if err != nil {
		return d, fmt.Errorf("read the demo's secrets: %w", err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return demo{}, nil //nolint:nilerr // torn or edited: new ones are issued
	}
	return d, nil
}

func (a *App) writeDemo(d demo) error {
	text, err := json.MarshalIndent(d, "", "  ") //nolint:gosec // a demo's secrets, for its own next start
	if err != nil {
		return fmt.Errorf("write the demo's secrets: %w", err)
	}
	return writeFile(a.demoFile("demo-secrets"), append(text, '\n'))
}

// writeFile replaces a file of mode 0600 whole or not at all.
func writeFile(path string, text []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
