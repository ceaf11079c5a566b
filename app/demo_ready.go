package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
)

// local asks servers of this host.
var local = &http.Client{Timeout: 10 * time.Second} //nolint:gochecknoglobals // has no state but idle connections

// awaitModel returns when the gateway routes to the model, which it does once
// an instance has generated a token through the tunnel. Meanwhile it says which
// step is in progress, and fails when the deployment cannot go on by itself.
func (a *App) awaitModel(ctx context.Context, key, model string, actor auth.Actor, out io.Writer) error {
	said := ""
	for {
		ready, err := modelReady(ctx, a.site, key, model)
		if ready {
			return nil
		}
		list, listErr := a.instances.Instances(ctx, actor.Organisation, instance.Filter{})
		err = errors.Join(err, listErr)
		for _, i := range list {
			if i.Step == "" || i.State.Gone() {
				continue
			}
			if step := i.Step.Title(); step != said {
				said = step
				fmt.Fprintf(out, "%3d %%  %s\n", i.Progress, step)
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// modelReady asks the gateway, as a client does, whether a model is served now.
func modelReady(ctx context.Context, site, key, model string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, site+"/v1/models", nil)
	if err != nil {
		return false, fmt.Errorf("ask for the models: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := local.Do(req)
	if err != nil {
		return false, fmt.Errorf("ask for the models: %w", err)
	}
	defer res.Body.Close()
	var list struct {
		Data []struct {
			ID    string `json:"id"`
			State string `json:"state"`
		} `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return false, fmt.Errorf("read the models: %w", err)
	}
	for _, m := range list.Data {
		if m.ID == model && (m.State == "" || m.State == "ready") {
			return true, nil
		}
	}
	return false, nil
}

// announceDemo writes demo.env, whole or not at all, and prints what is in it.
func (a *App) announceDemo(d demo, model string, out io.Writer) error {
	var env strings.Builder
	for _, v := range [][2]string{
		{"OPENAI_BASE_URL", a.site + "/v1"}, {"OPENAI_API_KEY", d.APIKey}, {"OPENAI_MODEL", model},
		{"INVENTIV_URL", a.site}, {"INVENTIV_API_KEY", d.AdminKey},
		{"INVENTIV_ADMIN_EMAIL", a.cfg.AdminEmail}, {"INVENTIV_ADMIN_PASSWORD", d.Password},
	} {
		fmt.Fprintf(&env, "export %s='%s'\n", v[0], strings.ReplaceAll(v[1], "'", `'\''`))
	}
	path := a.demoFile("demo.env")
	if err := writeFile(path, []byte(env.String())); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, `
The demo is ready.

  Console    %s
  Sign in    %s  %s
  OpenAI     %s/v1  model %s
  Settings   . %s

  curl %s/v1/chat/completions \
    -H 'Authorization: Bearer %s' \
    -H 'Content-Type: application/json' \
    -d '{"model": "%s", "messages": [{"role": "user", "content": "Hello!"}]}'

`, a.site, a.cfg.AdminEmail, d.Password, a.site, model, path, a.site, d.APIKey, model)
	return err //nolint:wrapcheck // nothing to add
}

// askModel runs an engine command once and returns the first model it lists.
// What the engine says meanwhile goes into the file log.
func askModel(ctx context.Context, command, log string) (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a port for the engine: %w", err)
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err = errors.Join(err, ln.Close()); err != nil {
		return "", fmt.Errorf("find a port for the engine: %w", err)
	}
	words, err := splitCommand(strings.ReplaceAll(command, "{port}", port))
	if err != nil {
		return "", err
	}
	failed := func(what string, cause error) error {
		return fault.Newf(fault.Invalid, "The engine command %s.", what).WithField("demo-engine-cmd").WithCause(cause).
			WithFix("It has to serve /v1/models on 127.0.0.1 at the port it is given; what it said is in " + log + ".")
	}
	said, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("keep what the engine says: %w", err)
	}
	defer said.Close()
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return "", failed("does not start: "+err.Error(), err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}()
	for deadline := time.Now().Add(10 * time.Minute); ; {
		if id, err := firstModel(ctx, "http://127.0.0.1:"+port+"/v1/models"); err == nil {
			return id, nil
		} else if time.Now().After(deadline) {
			return "", failed("does not list a model within ten minutes", err)
		}
		select {
		case <-ended:
			return "", failed("ends before it serves", nil)
		case <-ctx.Done():
			return "", fmt.Errorf("wait for the engine: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func firstModel(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", fmt.Errorf("ask the engine: %w", err)
	}
	res, err := local.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask the engine: %w", err)
	}
	defer res.Body.Close()
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return "", fmt.Errorf("read the engine's models: %w", err)
	}
	if res.StatusCode != http.StatusOK || len(list.Data) == 0 || list.Data[0].ID == "" {
		return "", errors.New("the engine lists no model, status " + strconv.Itoa(res.StatusCode))
	}
	return list.Data[0].ID, nil
}

// splitCommand splits a command line at spaces, as a shell does with plain
// words and quotes; nothing else is special.
func splitCommand(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	quote, open := rune(0), false
	for _, r := range s {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, open = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if open || word.Len() > 0 {
				words = append(words, word.String())
				word.Reset()
				open = false
			}
		default:
			word.WriteRune(r)
		}
	}
	if quote != 0 {
		return nil, fault.New(fault.Invalid, "The engine command has a quote that is not closed.").WithField("demo-engine-cmd")
	}
	if open || word.Len() > 0 {
		words = append(words, word.String())
	}
	if len(words) == 0 {
		return nil, fault.New(fault.Invalid, "The engine command is empty.").WithField("demo-engine-cmd")
	}
	return words, nil
}
