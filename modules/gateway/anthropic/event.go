package anthropic

// The events of a stream, in the order of their appearance. Each has its name
// as its type, too.
type (
	messageStart struct {
		Type    string `json:"type"`
		Message answer `json:"message"`
	}
	ping struct {
		Type string `json:"type"`
	}
	blockStart struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
		Block any    `json:"content_block"`
	}
	blockDelta struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
		Delta delta  `json:"delta"`
	}
	blockStop struct {
		Type  string `json:"type"`
		Index int    `json:"index"`
	}
	messageDelta struct {
		Type  string `json:"type"`
		Delta ending `json:"delta"`
		Usage usage  `json:"usage"`
	}
	messageStop struct {
		Type string `json:"type"`
	}
)

// delta is a piece of a block; one of its fields is set, as the type says.
type delta struct {
	Type     string `json:"type"`
	Text     string `json:"text,omitempty"`
	Thinking string `json:"thinking,omitempty"`
	JSON     string `json:"partial_json,omitempty"`
}

type ending struct {
	StopReason   string  `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
}

// failure is an error, as an answer or as an event.
type failure struct {
	Type      string  `json:"type"`
	Error     problem `json:"error"`
	RequestID string  `json:"request_id,omitempty"`
}

type problem struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}
