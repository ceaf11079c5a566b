package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/journal"
)

func TestJournal_keepsTheLastLinesInBoundedSpace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "events.log")
	j, err := journal.Open(path, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if i == 250 { // a restart of the agent
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
			if j, err = journal.Open(path, 1000); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Add(fmt.Appendf(nil, "line %03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = j.Close() }()
	last, err := j.Tail(105, nil) // more than one file holds
	if err != nil || len(last) != 105 || string(last[0]) != "line 395" || string(last[104]) != "line 499" {
		t.Fatalf("Tail = %q, %v", last, err)
	}
	odd, err := j.Tail(2, func(line []byte) bool { return line[len(line)-1]%2 == 1 })
	if err != nil || fmt.Sprintf("%s", odd) != "[line 497 line 499]" {
		t.Errorf("odd lines = %s, %v", odd, err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 2 {
		t.Errorf("files %v, %v; want two", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 1000 {
			t.Errorf("%s has %d bytes, %v", f, info.Size(), err)
		}
	}
}

func TestLines_B34_cutsALongLine(t *testing.T) {
	t.Parallel()
	var got []string
	l := journal.NewLines(func(line []byte) { got = append(got, string(line)) })
	text := "one\r\n" + strings.Repeat("x", 50<<20) + "\ntwo\n\nrest"
	for at := 0; at < len(text); at += 30_001 {
		if _, err := l.Write([]byte(text[at:min(len(text), at+30_001)])); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 5 || got[0] != "one" || len(got[1]) != 64<<10 || got[2] != "two" || got[3] != "" || got[4] != "rest" {
		t.Errorf("%d lines, the second of %d bytes", len(got), len(got[1]))
	}
}
