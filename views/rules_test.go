package views_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/inventiv-it-for-ai/inventiv/views"
)

func parse(t *testing.T, page string) *html.Node {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return doc
}

// each calls f for every element of the page.
func each(n *html.Node, f func(*html.Node)) {
	if n.Type == html.ElementNode {
		f(n)
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		each(c, f)
	}
}

func attr(n *html.Node, name string) string {
	v, _ := lookup(n, name)
	return v
}

func lookup(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		b.WriteString(text(c))
	}
	return b.String()
}

func inside(n *html.Node, tag string) bool {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.Type == html.ElementNode && p.Data == tag {
			return true
		}
	}
	return false
}

// rules are what every page keeps. Each returns its complaints.
var rules = []func(*html.Node) []string{
	oneHeading, headingOrder, uniqueIDs, knownReferences, labelledFields, namedButtons,
	tablesHaveScope, formsHaveMethod, nothingInline, landmarks, noEmptyText,
}

func oneHeading(doc *html.Node) (wrong []string) {
	n := 0
	each(doc, func(e *html.Node) {
		if e.Data == "h1" {
			n++
			if strings.TrimSpace(text(e)) == "" {
				wrong = append(wrong, "the h1 is empty")
			}
		}
	})
	if n != 1 {
		wrong = append(wrong, fmt.Sprintf("%d h1, want 1", n))
	}
	return wrong
}

func headingOrder(doc *html.Node) (wrong []string) {
	last := 1
	each(doc, func(e *html.Node) {
		if len(e.Data) != 2 || e.Data[0] != 'h' || e.Data[1] < '1' || e.Data[1] > '6' || inside(e, "aside") {
			return
		}
		level := int(e.Data[1] - '0')
		if level > last+1 {
			wrong = append(wrong, fmt.Sprintf("h%d %q follows an h%d", level, text(e), last))
		}
		last = level
	})
	return wrong
}

func uniqueIDs(doc *html.Node) (wrong []string) {
	seen := map[string]bool{}
	each(doc, func(e *html.Node) {
		id, ok := lookup(e, "id")
		if ok && id == "" {
			wrong = append(wrong, "an empty id on <"+e.Data+">")
		}
		if ok && seen[id] {
			wrong = append(wrong, "the id "+id+" twice")
		}
		seen[id] = true
	})
	return wrong
}

func knownReferences(doc *html.Node) (wrong []string) {
	ids := map[string]bool{}
	each(doc, func(e *html.Node) { ids[attr(e, "id")] = true })
	each(doc, func(e *html.Node) {
		for _, name := range []string{"for", "aria-labelledby", "aria-describedby", "popovertarget", "data-dialog"} {
			if v, ok := lookup(e, name); ok && !ids[v] {
				wrong = append(wrong, fmt.Sprintf("<%s %s=%q> names nothing", e.Data, name, v))
			}
		}
		if v := attr(e, "data-copy-from"); v != "" && !ids[strings.TrimPrefix(v, "#")] {
			wrong = append(wrong, "data-copy-from "+v+" names nothing")
		}
		if v := attr(e, "href"); strings.HasPrefix(v, "#") && !ids[v[1:]] {
			wrong = append(wrong, "the link "+v+" leads nowhere")
		}
	})
	return wrong
}

func labelledFields(doc *html.Node) (wrong []string) {
	labels := map[string]bool{}
	each(doc, func(e *html.Node) {
		if e.Data == "label" {
			labels[attr(e, "for")] = true
			if strings.TrimSpace(text(e)) == "" {
				wrong = append(wrong, "an empty label for "+attr(e, "for"))
			}
		}
	})
	each(doc, func(e *html.Node) {
		if !slices.Contains([]string{"input", "select", "textarea"}, e.Data) || attr(e, "type") == "hidden" {
			return
		}
		if attr(e, "name") == "" {
			wrong = append(wrong, fmt.Sprintf("<%s id=%q> has no name", e.Data, attr(e, "id")))
		}
		if attr(e, "aria-label") == "" && !labels[attr(e, "id")] && !inside(e, "label") {
			wrong = append(wrong, fmt.Sprintf("<%s name=%q> has no label", e.Data, attr(e, "name")))
		}
	})
	return wrong
}

func namedButtons(doc *html.Node) (wrong []string) {
	each(doc, func(e *html.Node) {
		named := strings.TrimSpace(text(e)) != "" || attr(e, "aria-label") != ""
		switch {
		case (e.Data == "button" || e.Data == "a" || e.Data == "summary") && !named:
			wrong = append(wrong, "a <"+e.Data+"> without a name")
		case e.Data == "button" && attr(e, "type") == "" && !inside(e, "form"):
			wrong = append(wrong, "a button outside a form: "+text(e))
		case e.Data == "svg" && attr(e, "aria-hidden") == "" && attr(e, "aria-label") == "":
			wrong = append(wrong, "an svg that is neither hidden nor named")
		case e.Data == "progress" && attr(e, "aria-label") == "":
			wrong = append(wrong, "a progress bar without a name")
		case e.Data == "img" && attr(e, "alt") == "":
			wrong = append(wrong, "an image without alt")
		}
	})
	return wrong
}

func tablesHaveScope(doc *html.Node) (wrong []string) {
	each(doc, func(e *html.Node) {
		if e.Data == "th" && attr(e, "scope") == "" {
			wrong = append(wrong, "a th without scope: "+text(e))
		}
	})
	return wrong
}

func formsHaveMethod(doc *html.Node) (wrong []string) {
	each(doc, func(e *html.Node) {
		if e.Data != "form" {
			return
		}
		if m := attr(e, "method"); m != "get" && m != "post" {
			wrong = append(wrong, "a form with method "+m)
		}
		if !strings.HasPrefix(attr(e, "action"), "/") {
			wrong = append(wrong, "a form with action "+attr(e, "action"))
		}
		if inside(e, "form") {
			wrong = append(wrong, "a form inside a form")
		}
	})
	return wrong
}

func nothingInline(doc *html.Node) (wrong []string) {
	each(doc, func(e *html.Node) {
		for _, a := range e.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Key, "hx-on") {
				wrong = append(wrong, fmt.Sprintf("an inline %s on <%s>", a.Key, e.Data))
			}
			if strings.HasPrefix(strings.TrimSpace(strings.ToLower(a.Val)), "javascript:") {
				wrong = append(wrong, "a javascript: address")
			}
		}
		switch e.Data {
		case "style":
			wrong = append(wrong, "an inline stylesheet")
		case "script":
			if !strings.HasPrefix(attr(e, "src"), "/assets/") || e.FirstChild != nil {
				wrong = append(wrong, "a script that is inline or not ours")
			}
		case "link":
			if href, err := url.Parse(attr(e, "href")); err != nil || href.Host != "" {
				wrong = append(wrong, "a stylesheet, font or icon from elsewhere")
			}
		}
	})
	return wrong
}

func landmarks(doc *html.Node) (wrong []string) {
	mains := 0
	each(doc, func(e *html.Node) {
		switch e.Data {
		case "html":
			if attr(e, "lang") == "" {
				wrong = append(wrong, "no language")
			}
		case "main":
			mains++
		case "title":
			if t := strings.TrimSpace(text(e)); !inside(e, "svg") && (t == "" || strings.HasPrefix(t, "·")) {
				wrong = append(wrong, "no title")
			}
		}
	})
	if mains != 1 {
		wrong = append(wrong, fmt.Sprintf("%d main, want 1", mains))
	}
	return wrong
}

// noEmptyText finds formatting accidents.
func noEmptyText(doc *html.Node) (wrong []string) {
	t := text(doc)
	for _, bad := range []string{"%!", "<nil>", "0001-01-01", "NaN", "+Inf"} {
		if strings.Contains(t, bad) {
			wrong = append(wrong, "the text contains "+bad)
		}
	}
	return wrong
}

func checkFragments(t *testing.T, f fixture) {
	t.Helper()
	live, ok := f.page.(views.Live)
	if !ok {
		t.Fatal("not live")
	}
	found := 0
	each(parse(t, drawn(t, f)), func(e *html.Node) {
		get := attr(e, "hx-get")
		if get == "" || strings.HasPrefix(get, "/meter") || e.Data == "form" {
			return
		}
		found++
		u, err := url.Parse(get)
		if err != nil {
			t.Fatal(err)
		}
		name := u.Query().Get("fragment")
		if name != attr(e, "id") {
			t.Errorf("region %q fetches fragment %q", attr(e, "id"), name)
		}
		part := live.Fragment(name)
		if part == nil {
			t.Errorf("the page has no fragment %q", name)
			return
		}
		var b strings.Builder
		if err := part.Render(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), `id="`+name+`"`) || strings.Contains(b.String(), "<html") {
			t.Errorf("fragment %q is not its region alone", name)
		}
	})
	if found == 0 {
		t.Error("a live page without a live region")
	}
	if live.Fragment("nothing") != nil {
		t.Error("an unknown fragment is drawn")
	}
}
