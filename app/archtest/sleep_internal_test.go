package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"testing"
)

// A test that sleeps is slow or flaky, most often both. In a synctest bubble
// time is virtual and sleeping is fine.
func TestTests_sleepInBubblesOnly(t *testing.T) {
	t.Parallel()
	packages := map[string][]source{}
	for _, s := range sources(t) {
		if s.test {
			packages[s.pkg] = append(packages[s.pkg], s)
		}
	}
	for _, tests := range packages {
		parsed := make([]*ast.File, len(tests))
		for i, s := range tests {
			parsed[i] = s.file
		}
		for _, sleep := range wakingSleeps(parsed) {
			t.Errorf("%s sleeps; wait for what should happen, or use testing/synctest", tests[0].fset.Position(sleep))
		}
	}
}

// span is a stretch of source.
type span struct{ from, to token.Pos }

func (s span) holds(p token.Pos) bool { return s.from <= p && p < s.to }

// wakingSleeps returns the uses of time.Sleep in a package's tests that are not
// in a bubble: in a function literal given to synctest.Test, or in a function
// that is named in bubbles only.
func wakingSleeps(tests []*ast.File) []token.Pos {
	var bubbles []span
	var sleeps []token.Pos
	named := map[string][]token.Pos{}
	helpers := map[string]span{}
	for _, file := range tests {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				helpers[f.Name.Name] = span{f.Pos(), f.End()}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if written(n.Fun) == "synctest.Test" {
					for _, arg := range n.Args {
						if body, ok := arg.(*ast.FuncLit); ok {
							bubbles = append(bubbles, span{body.Pos(), body.End()})
						}
					}
				}
			case *ast.SelectorExpr:
				if written(n) == "time.Sleep" {
					sleeps = append(sleeps, n.Pos())
				}
			case *ast.Ident:
				named[n.Name] = append(named[n.Name], n.Pos())
			}
			return true
		})
	}
	inBubble := func(p token.Pos) bool {
		return slices.ContainsFunc(bubbles, func(b span) bool { return b.holds(p) })
	}
	for found := true; found; { // a helper of a helper is found in the next round
		found = false
		for name, body := range helpers {
			if onlyInBubbles(named[name], body, inBubble) {
				bubbles = append(bubbles, body)
				delete(helpers, name)
				found = true
			}
		}
	}
	return slices.DeleteFunc(sleeps, inBubble)
}

// onlyInBubbles reports whether a function is named in bubbles, and nowhere
// else but in itself.
func onlyInBubbles(uses []token.Pos, body span, inBubble func(token.Pos) bool) bool {
	used := false
	for _, p := range uses {
		if body.holds(p) {
			continue
		}
		if !inBubble(p) {
			return false
		}
		used = true
	}
	return used
}

func TestSleep_ruleSeesBesideABubble(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { go func() { time.Sleep(1) }() }) }":                                0,
		"func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) {}); time.Sleep(1) }":                                                1,
		"func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }\nfunc TestB(t *testing.T) { time.Sleep(1) }":    1,
		"func TestA(t *testing.T) { other.Test(t, func(t *testing.T) { time.Sleep(1) }) }":                                                   1,
		"func TestA(t *testing.T) { for range 3 { wait := time.Sleep; wait(1) } }":                                                           1,
		"func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { settle() }) }\nfunc settle() { time.Sleep(1) }":                    0,
		"func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { settle() }); settle() }\nfunc settle() { time.Sleep(1) }":          1,
		"func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { a() }) }\nfunc a() { b() }\nfunc b() { time.Sleep(1); b() }":       0,
		"func TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { a() }) }\nfunc a() { b() }\nfunc b() { time.Sleep(1) }\nvar x = b": 1,
		"func TestA(t *testing.T) { settle() }\nfunc settle() { time.Sleep(1) }":                                                             1,
		"func settle() { time.Sleep(1) }": 1,
		"func (b bed) TestA() { time.Sleep(1) }\nfunc TestA(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1); b.TestA() }) }": 1,
	} {
		file, err := parseFile(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(wakingSleeps([]*ast.File{file})); got != want {
			t.Errorf("%d sleeps found, want %d, in\n%s", got, want, text)
		}
	}
}

// A test that is skipped says nothing.
func TestTests_doNotSkip(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && skips(call) {
				t.Errorf("%s:%d skips; what a test needs is there or the test fails", s.path, s.line(call))
			}
			return true
		})
	}
}

func skips(call *ast.CallExpr) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch written(selector.X) {
	case "t", "b", "f", "tb":
	default:
		return false
	}
	name := selector.Sel.Name
	return name == "Skip" || name == "Skipf" || name == "SkipNow"
}
