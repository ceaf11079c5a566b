package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/inventiv-it-for-ai/inventiv/"

// root is the repository, seen from this package's folder.
const root = "../.."

// source is a Go file of this module, in the repository's terms.
type source struct {
	path      string // such as "app/loop/loop.go"
	pkg       string // such as "app/loop"; "." at the top
	test      bool
	generated bool
	file      *ast.File
	fset      *token.FileSet
}

// files returns the repository's files below the folders that are ours, with
// slashes, in order. Reading them here rather than through the go command lets
// the test cache see what this test depends on.
func files(t *testing.T, suffixes ...string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if skipped(rel, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		for _, s := range suffixes {
			if strings.HasSuffix(rel, s) {
				found = append(found, rel)
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no file with %v found below %s", suffixes, root)
	}
	return found
}

// skipped reports whether a folder holds nothing of this module: built things,
// and modules of their own.
func skipped(rel, name string) bool {
	if rel == "." {
		return false
	}
	if strings.HasPrefix(name, ".") || name == "node_modules" || name == "bin" || name == "out" || name == "testdata" {
		return true
	}
	_, err := os.Stat(filepath.Join(root, rel, "go.mod"))
	return err == nil
}

// sources parses every Go file of this module.
func sources(t *testing.T) []source {
	t.Helper()
	fset := token.NewFileSet()
	var all []source
	for _, p := range files(t, ".go") {
		f, err := parser.ParseFile(fset, filepath.Join(root, p), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, source{
			path: p, pkg: path.Dir(p), test: strings.HasSuffix(p, "_test.go"),
			generated: ast.IsGenerated(f), file: f, fset: fset,
		})
	}
	return all
}

// imports returns the packages of this module that a file imports.
func (s source) imports() []string {
	var ours []string
	for _, spec := range s.file.Imports {
		if p, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module); ok {
			ours = append(ours, p)
		}
	}
	return ours
}

func (s source) line(n ast.Node) int { return s.fset.Position(n.Pos()).Line }

func read(t *testing.T, p string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, p))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// below reports whether p is the folder dir or lies in it.
func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
