package chat_test

import (
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/gateway/chat"
)

func TestCalls_knowWhenArgumentsAreWhole(t *testing.T) {
	t.Parallel()
	for arguments, whole := range map[string]bool{
		"": false, " ": false, "{": false, "{}": true, ` {"a":[{}]} `: true, `{"a":[{}]`: false, `{"a":"}"`: false, `{"a":"}"}`: true, `{"a":"\"}"`: false,
		`{"a":"\\"}`: true, "{}{": false, "}{": false, `"{}"`: false, "[]": true, "1": false,
	} {
		for cut := range len(arguments) + 1 { // wherever a piece ends
			var calls chat.Calls
			call, begins := calls.Of(&chat.ToolCall{Function: chat.Function{Name: "f", Arguments: arguments[:cut]}})
			if same, again := calls.Of(&chat.ToolCall{Function: chat.Function{Arguments: arguments[cut:]}}); !begins || again || same != call {
				t.Fatalf("%s, cut at %d: begins %v and %v", arguments, cut, begins, again)
			}
			if bare := strings.TrimSpace(arguments) == ""; call.Bare() != bare {
				t.Errorf("%s, cut at %d: bare is %v", arguments, cut, call.Bare())
			}
			if call.Whole() != whole || call.Over() != whole {
				t.Errorf("%s, cut at %d: whole is %v, over %v", arguments, cut, call.Whole(), call.Over())
			}
		}
	}
}

func TestCalls_replacedByAnotherOfTheSameNumber(t *testing.T) {
	t.Parallel()
	var calls chat.Calls
	if call, _ := calls.Of(&chat.ToolCall{Function: chat.Function{Arguments: "{}"}}); call != nil {
		t.Error("a piece of no call has one")
	}
	first, _ := calls.Of(&chat.ToolCall{ID: "a", Function: chat.Function{Name: "f"}})
	second, begins := calls.Of(&chat.ToolCall{ID: "b", Function: chat.Function{Name: "f"}})
	if !begins || first == second || !first.Over() || first.Whole() || second.Over() || calls.Len() != 1 {
		t.Errorf("first %+v, second %+v", first, second)
	}
}
