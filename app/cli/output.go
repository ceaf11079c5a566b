package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// row is a thing as the API describes it.
type row map[string]any

// text returns a field for people; a dash for what is not there.
func (r row) text(name string) string {
	switch v := r[name].(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return "-"
		}
		return printable(v)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = printable(fmt.Sprint(p))
		}
		return strings.Join(parts, ",")
	default:
		return printable(fmt.Sprint(v))
	}
}

// printable keeps what others have written from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}

// sub returns an object inside the row.
func (r row) sub(name string) row {
	v, _ := r[name].(map[string]any)
	return v
}

// rows returns a list inside the row.
func (r row) rows(name string) []row {
	list, _ := r[name].([]any)
	all := make([]row, 0, len(list))
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// column is one column of a table.
type column struct {
	title string
	cell  func(row) string
}

// col shows a field as it is.
func col(title, field string) column {
	return column{title, func(r row) string { return r.text(field) }}
}

// eur shows an amount of money for people: from a cent on to four decimal
// places, below it exactly. Prices are shown with col, as they are.
func eur(title, field string) column {
	return column{title, func(r row) string {
		text := r.text(field)
		amount, err := money.Parse(text)
		if err != nil || amount < money.Cent && amount > -money.Cent {
			return text
		}
		return amount.Round(4)
	}}
}

// moment shows a time without its fractions.
func moment(title, field string) column {
	return column{title, func(r row) string { return shortTime(r.text(field)) }}
}

func shortTime(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return at.UTC().Format("2006-01-02 15:04:05Z")
}

// printer writes what was asked for.
type printer struct {
	w      io.Writer
	asJSON bool
}

// table writes rows under the titles of the columns. Without rows it writes the
// titles only, so that a program that reads it finds its columns.
func (p printer) table(columns []column, rows []row) error {
	t := tabwriter.NewWriter(p.w, 0, 4, 2, ' ', 0)
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.title
	}
	fmt.Fprintln(t, strings.Join(cells, "\t"))
	for _, r := range rows {
		for i, c := range columns {
			cells[i] = c.cell(r)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// list writes several things.
func (p printer) list(columns []column, rows []row) error {
	if p.asJSON {
		if rows == nil {
			rows = []row{}
		}
		return p.json(rows)
	}
	return p.table(columns, rows)
}

// one writes one thing: its columns below each other.
func (p printer) one(columns []column, r row) error {
	if p.asJSON {
		return p.json(r)
	}
	t := tabwriter.NewWriter(p.w, 0, 4, 2, ' ', 0)
	for _, c := range columns {
		fmt.Fprintf(t, "%s:\t%s\n", c.title, c.cell(r))
	}
	return t.Flush()
}

// say writes a sentence for people; programs are told nothing.
func (p printer) say(format string, args ...any) error {
	if p.asJSON {
		return nil
	}
	_, err := fmt.Fprintf(p.w, format+"\n", args...)
	return err
}

func (p printer) json(v any) error {
	enc := json.NewEncoder(p.w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// closedPipe reports whether err means that the reader has gone, as head does
// when it has seen enough: that is no failure.
func closedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}
