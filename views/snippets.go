package views

import (
	"context"
	"io"

	"github.com/a-h/templ"
)

// Snippets show how to call a model. In the playground the model's name
// follows the settings.
type Snippets struct {
	BaseURL string // ends in /v1
	Model   string
	Embeds  bool // an embedding model
}

// languages are the tabs, in order: value and name.
var languages = []Choice{{"curl", "curl"}, {"python", "Python"}, {"javascript", "JavaScript"}}

// code writes the call in a language, to the character: what is copied runs.
func (s Snippets) code(language string) templ.Component {
	before, after := s.around(language)
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, templ.EscapeString(before)+`<em data-var="model">`+templ.EscapeString(s.Model)+`</em>`+templ.EscapeString(after))
		return err
	})
}

// around returns what stands before and after the model's name.
func (s Snippets) around(language string) (before, after string) {
	switch language {
	case "python":
		before = "import os\nfrom openai import OpenAI\n\nclient = OpenAI(\n    base_url=\"" + s.BaseURL + "\",\n    api_key=os.environ[\"INVENTIV_API_KEY\"],\n)\n"
		if s.Embeds {
			return before + "reply = client.embeddings.create(\n    model=\"",
				"\",\n    input=\"Hello\",\n)\nprint(len(reply.data[0].embedding))"
		}
		return before + "stream = client.chat.completions.create(\n    model=\"",
			"\",\n    messages=[{\"role\": \"user\", \"content\": \"Hello\"}],\n    stream=True,\n)\nfor chunk in stream:\n    print(chunk.choices[0].delta.content or \"\", end=\"\")"
	case "javascript":
		before = "import OpenAI from \"openai\";\n\nconst client = new OpenAI({\n  baseURL: \"" + s.BaseURL + "\",\n  apiKey: process.env.INVENTIV_API_KEY,\n});\n"
		if s.Embeds {
			return before + "const reply = await client.embeddings.create({\n  model: \"",
				"\",\n  input: \"Hello\",\n});\nconsole.log(reply.data[0].embedding.length);"
		}
		return before + "const stream = await client.chat.completions.create({\n  model: \"",
			"\",\n  messages: [{ role: \"user\", content: \"Hello\" }],\n  stream: true,\n});\nfor await (const chunk of stream) {\n  process.stdout.write(chunk.choices[0]?.delta?.content ?? \"\");\n}"
	}
	path, rest := "/chat/completions", "\", \"stream\": true,\n       \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'"
	if s.Embeds {
		path, rest = "/embeddings", "\", \"input\": \"Hello\"}'"
	}
	return "curl " + s.BaseURL + path + " \\\n  -H \"Authorization: Bearer $INVENTIV_API_KEY\" \\\n  -H \"Content-Type: application/json\" \\\n  -d '{\"model\": \"", rest
}
