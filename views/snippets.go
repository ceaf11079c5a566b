package views

// Snippets show how to call a model. In the playground the parts named by
// data-var follow the settings.
type Snippets struct {
	BaseURL string // ends in /v1
	Model   string
	Embeds  bool // an embedding model
}

// languages are the tabs, in order: value and name.
var languages = []Choice{{"curl", "curl"}, {"python", "Python"}, {"javascript", "JavaScript"}}
