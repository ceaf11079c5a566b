package cli_test

import (
	"strings"
	"testing"
)

func TestInstances_onlyWhatHasJoinedCanBeLost(t *testing.T) {
	t.Parallel()
	for state, lost := range map[string]bool{"provisioning": false, "installing": false, "terminated": false, "ready": true, "draining": true} {
		s := serve(t, map[string]string{"GET /instances": items(`{"name":"i","state":"` + state + `","connectivity":"lost"}`)})
		if r := run(t, s.URL, "instances list"); r.exit != 0 || strings.Contains(r.out, "lost") != lost {
			t.Errorf("%s: exit %d\n%s%swant it said to be lost: %t", state, r.exit, r.out, r.err, lost)
		}
	}
}

func TestLogs_anEmptyOneIsSaidToBe(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{"GET /instances/i/logs?source=engine&tail=200": `200 {"source":"engine","lines":[]}`})
	if r := run(t, s.URL, "instances logs i"); r.exit != 0 || r.out != "" || r.err != "The log of the engine is empty.\n" {
		t.Errorf("exit %d, %q, %q", r.exit, r.out, r.err)
	}
}
