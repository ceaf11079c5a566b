package gateway

import (
	"math/rand/v2"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/balance"
)

// pick returns the target that the request should be sent to, or nil if there
// is none but the one that was tried.
func (x *exchange) pick(way *route, tried *target) *target {
	choice := balance.Choice{Except: -1}
	if len(way.targets) > 1 {
		choice.Key, choice.Draw, choice.Now = x.affinity(), rand.Uint64(), x.moment()
	}
	for i, t := range way.targets {
		if t == tried {
			choice.Except = i
		}
	}
	if i := way.set.Pick(choice); i >= 0 {
		return way.targets[i]
	}
	return nil
}

// maxSession is how many bytes of a session's name count.
const maxSession = 256

// affinity returns the key of what the request has in common with others that
// the same replica should have: the session that the client names, or else what
// its prompt begins with; 0 if there is nothing.
func (x *exchange) affinity() uint64 {
	if named := x.r.Header["X-Inventiv-Session"]; len(named) == 1 && named[0] != "" {
		var name [maxSession]byte
		return balance.Key(name[:copy(name[:], named[0])])
	}
	return balance.PromptKey(x.head.Prompt)
}
