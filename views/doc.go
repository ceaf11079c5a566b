// Package views draws the console's pages: templ components over plain props.
//
// It knows no module, no database and no request. A page is a struct whose
// fields are what it shows; its Body is drawn inside Layout (signed in) or Door
// (signed out). Regions that stay live fetch themselves anew when the event
// stream names their topic; a page hands one out by name through Fragment.
// Everything reads and submits without a script, and nothing is inline: the
// content security policy allows neither scripts nor styles from the page.
package views

import (
	"strings"

	"github.com/a-h/templ"
)

// Page is one page of the console.
type Page interface {
	// Title is the page's main fact, for its heading and the browser's tab.
	Title() string
	// Body draws what stands below the meter.
	Body() templ.Component
}

// Live is a page with regions that can be fetched alone.
type Live interface {
	Page
	// Fragment returns the region called name, or nil when there is none.
	Fragment(name string) templ.Component
}

// live returns the attributes of a region: it is called name and fetches itself
// from path when one of topics happens. A topic may be "every 10s", or
// "instance-<id>" for one thing only.
func live(path, name string, topics ...string) templ.Attributes {
	triggers := make([]string, 0, len(topics)+1)
	for _, t := range append(topics, "reset") {
		if strings.HasPrefix(t, "every ") {
			triggers = append(triggers, t)
			continue
		}
		pace := "400ms"
		if t == "usage" {
			pace = "2s"
		}
		triggers = append(triggers, "live-"+t+" from:body throttle:"+pace)
	}
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return templ.Attributes{
		"id":         name,
		"hx-get":     path + sep + "fragment=" + name,
		"hx-trigger": strings.Join(triggers, ", "),
		"hx-swap":    "outerMorph",
		// What a page asks by itself does not keep a session from going idle.
		"hx-headers": `{"Inventiv-Passive":"1"}`,
	}
}
