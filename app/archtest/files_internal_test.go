package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// wall is the length at which a file must have become two.
const wall = 500

func TestFiles_stayBelowTheWall(t *testing.T) {
	t.Parallel()
	generated := map[string]bool{"db/schema.sql": true} // what pg_dump writes of all migrations
	for _, s := range sources(t) {
		generated[s.path] = s.generated
	}
	for _, p := range files(t, ".go", ".templ", ".sql") {
		if lines := strings.Count(read(t, p), "\n"); lines > wall && !generated[p] {
			t.Errorf("%s has %d lines; the wall is %d", p, lines, wall)
		}
	}
}

// Inside db.InTx only the transaction may be used: asking the pool for another
// connection there can wait for ever when all of them are in transactions.
func TestInTx_usesItsTransactionOnly(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		for _, use := range poolUses(s.file) {
			t.Errorf("%s:%d uses the pool inside db.InTx; use the transaction", s.path, s.line(use))
		}
	}
}

// poolUses returns the uses of the pool given to db.InTx inside its function.
func poolUses(file *ast.File) []ast.Node {
	var found []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 3 || written(call.Fun) != "db.InTx" {
			return true
		}
		pool := written(call.Args[1])
		body, ok := call.Args[len(call.Args)-1].(*ast.FuncLit)
		if !ok || pool == "" {
			return true
		}
		ast.Inspect(body, func(inner ast.Node) bool {
			if e, ok := inner.(ast.Expr); ok && written(e) == pool {
				found = append(found, inner)
				return false
			}
			return true
		})
		return true
	})
	return found
}

// written returns a chain of names as it is written, "s.pool", or "".
func written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		if on := written(e.X); on != "" {
			return on + "." + e.Sel.Name
		}
	}
	return ""
}

func TestInTx_ruleSeesThePool(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"db.InTx(ctx, s.pool, func(tx pgx.Tx) error { return q.New(s.pool).Do(ctx) })":   1,
		"db.InTx(ctx, pool, func(tx pgx.Tx) error { return q.New(pool).Do(ctx, pool) })": 2,
		"db.InTx(ctx, s.pool, func(tx pgx.Tx) error { return q.New(tx).Do(ctx) })":       0,
		"other.InTx(ctx, s.pool, func(tx pgx.Tx) error { return use(s.pool) })":          0,
	} {
		file, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(poolUses(file)); got != want {
			t.Errorf("%d uses in %q, want %d", got, text, want)
		}
	}
}

func parse(statement string) (*ast.File, error) { return parseFile("func f() { " + statement + " }") }

func parseFile(declarations string) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), "p.go", "package p\n"+declarations, parser.SkipObjectResolution)
}
