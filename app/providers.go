package app

import (
	"fmt"
	"os"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

// providers opens where machines come from: the mock cloud, the only one yet,
// which is on by itself in the demo.
func (a *App) providers() (map[string]instance.Provider, error) {
	if len(a.cfg.Providers) == 0 && !a.cfg.Demo {
		return map[string]instance.Provider{}, nil
	}
	if err := makeDataDir(a.cfg.DataDir); err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program for its agents: %w", err)
	}
	base := []string{"PATH=" + path, "HOME=/", "LANG=C.UTF-8"}
	if a.mock, err = mock.New(mock.Config{Dir: a.cfg.MockDir, Agent: mock.Command(executable, base), Log: a.log}); err != nil {
		return nil, fmt.Errorf("open the mock cloud: %w", err)
	}
	a.rents = []string{"mock"}
	a.loops = append(a.loops, loop.New("mock", time.Second, a.log, a.mock.Supervise))
	return map[string]instance.Provider{"mock": a.mock}, nil
}

// path is where an agent finds the programs it runs.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
