package app

import (
	"fmt"
	"os"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/app/loop"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance"
	"github.com/inventiv-it-for-ai/inventiv/modules/instance/mock"
)

// providers opens where machines come from: those that the settings name, or
// what there are credentials for. The mock cloud is on by itself in the demo only.
func (a *App) providers() (map[string]instance.Provider, error) {
	names := a.cfg.Providers
	if len(names) == 0 && a.cfg.Demo {
		names = []string{"mock"}
	}
	open := map[string]instance.Provider{}
	for _, name := range names {
		if name != "mock" {
			return nil, fault.Newf(fault.Invalid, "This version cannot rent machines from %s yet.", name).
				WithFix("Name only mock, or add a server that already runs with inventiv endpoints add.").WithField("INVENTIV_PROVIDERS")
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
		open[name] = a.mock
		a.rents = append(a.rents, name)
		a.loops = append(a.loops, loop.New("mock", time.Second, a.log, a.mock.Supervise))
	}
	return open, nil
}

// path is where an agent finds the programs it runs.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
