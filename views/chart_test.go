package views_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
	"github.com/inventiv-it-for-ai/inventiv/views"
)

func drawChart(t *testing.T, c views.CostChart) *html.Node {
	t.Helper()
	var b strings.Builder
	if err := c.Draw().Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := c.Legend().Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := c.Table().Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return parse(t, b.String())
}

// Bars of a day stand on each other, in proportion, and stay inside the chart.
func TestCostChart_barsAreProportional(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	c := views.CostChart{Caption: "Cost", Days: []views.CostDay{
		{Day: day, Parts: []views.CostPart{{Name: "a", Cost: 30 * money.Euro}, {Name: "b", Cost: 10 * money.Euro}}},
		{Day: day.AddDate(0, 0, 1), Parts: []views.CostPart{{Name: "a", Cost: 15 * money.Euro}}},
		{Day: day.AddDate(0, 0, 2), Ahead: 20 * money.Euro},
	}}
	heights := map[string][]float64{}
	each(drawChart(t, c), func(e *html.Node) {
		if e.Data != "rect" || !strings.HasPrefix(attr(e.Parent.Parent, "class"), "chart wide") {
			return
		}
		h, err := strconv.ParseFloat(attr(e, "height"), 64)
		if err != nil {
			t.Fatal(err)
		}
		y, err := strconv.ParseFloat(attr(e, "y"), 64)
		if err != nil || y < 0 || y+h > 232 {
			t.Errorf("a bar leaves the chart: y %s, height %s", attr(e, "y"), attr(e, "height"))
		}
		heights[attr(e, "class")] = append(heights[attr(e, "class")], h)
	})
	// One pixel of each bar is the gap to the next.
	a, b, ahead := heights["s1"], heights["s2"], heights["ahead"]
	if len(a) != 2 || len(b) != 1 || len(ahead) != 1 {
		t.Fatalf("bars: %v", heights)
	}
	for _, c := range []struct{ got, want float64 }{{(a[0] + 1) / (a[1] + 1), 2}, {(a[0] + 1) / (b[0] + 1), 3}, {(ahead[0] + 1) / (b[0] + 1), 2}} {
		if c.got < c.want-0.05 || c.got > c.want+0.05 {
			t.Errorf("heights are %v, in a proportion of %.2f instead of %.0f", heights, c.got, c.want)
		}
	}
}

func TestCostChart_foldsTheCheapestModels(t *testing.T) {
	t.Parallel()
	d := views.CostDay{Day: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}
	for i := range 9 {
		d.Parts = append(d.Parts, views.CostPart{Name: "m" + strconv.Itoa(i), Cost: money.EUR(i+1) * money.Euro})
	}
	c := views.CostChart{Caption: "Cost", Days: []views.CostDay{d}}
	names := c.Names()
	if len(names) != 6 || names[0] != "m8" || names[5] != "others" {
		t.Errorf("names = %v", names)
	}
	// 9+8+7+6+5 have their own colour; 4+3+2+1 are folded.
	page := text(drawChart(t, c))
	if !strings.Contains(page, "10.00 €") || !strings.Contains(page, "45.00 €") {
		t.Errorf("the table does not add up: %s", page)
	}
}

func TestSpark_fitsItsData(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := views.Spark([]float64{0, 5, 10}, 0, "load").Render(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), `points="0,29 50,15 100,1"`) {
		t.Errorf("spark = %s", b.String())
	}
}
