package views

import "github.com/inventiv-it-for-ai/inventiv/app/money"

// Playground talks to a model as an application would.
type Playground struct {
	Models  []PlayModel
	Model   string
	BaseURL string // ends in /v1
	Person  string
	May     May
}

// PlayModel is a model that answers now.
type PlayModel struct {
	Name          string
	Input, Output money.EUR // per million tokens
}

// Title implements Page.
func (p Playground) Title() string { return "Playground" }

func (p Playground) nothing() Empty {
	e := Empty{Icon: "message-square", Title: "No model is ready to talk", Text: "As soon as one serves, you can try it here."}
	if p.May.Operate {
		e.Href, e.Action = "/deployments/new", "Deploy a model"
	}
	return e
}

// Chat is where the page posts its requests: the gateway's own path, reached
// with the session instead of a key.
const Chat = "/playground/v1/chat/completions"

var tries = []string{
	"Explain in two sentences why a KV cache makes long chats cheaper.",
	"Write a haiku about a GPU that is never idle.",
	"What is the difference between latency and throughput?",
}
