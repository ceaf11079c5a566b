package views

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/inventiv-it-for-ai/inventiv/app/money"
)

// Geometry only: pixels are floats, amounts are not.

// sparkPath returns the points of a line through values in a box of 100 by 30.
// It fits its data; top sets the upper end when it is not zero.
func sparkPath(values []float64, top float64) string {
	for _, v := range values {
		top = max(top, v)
	}
	if top <= 0 {
		top = 1
	}
	var b strings.Builder
	step := 100 / float64(max(1, len(values)-1))
	for i, v := range values {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(px(float64(i) * step))
		b.WriteByte(',')
		b.WriteString(px(29 - 28*v/top))
	}
	return b.String()
}

func px(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}

// CostChart is what things cost day by day, stacked by model.
type CostChart struct {
	Caption string
	Days    []CostDay
}

// CostDay is one day of a CostChart.
type CostDay struct {
	Day   time.Time
	Parts []CostPart
	Ahead money.EUR // what is still to come, as a forecast
	Href  string    // the day's own page; may be empty
}

// CostPart is a named share of a day.
type CostPart struct {
	Name string
	Cost money.EUR
}

// total returns the sum of the day so far.
func (d CostDay) total() money.EUR {
	var sum money.EUR
	for _, p := range d.Parts {
		sum += p.Cost
	}
	return sum
}

func (d CostDay) readout() string {
	parts := []string{d.Day.Format("2 January") + ": " + EUR(d.total())}
	for _, p := range d.Parts {
		if p.Cost != 0 {
			parts = append(parts, p.Name+" "+EURFine(p.Cost))
		}
	}
	if d.Ahead != 0 {
		parts = append(parts, "forecast "+EUR(d.Ahead))
	}
	return strings.Join(parts, " · ")
}

// maxSeries is how many models have a colour of their own; the others share
// the last one.
const maxSeries = 6

// Names returns the models in the chart, the dearest first, folded to the
// number of colours there are.
func (c CostChart) Names() []string {
	sums := map[string]money.EUR{}
	var names []string
	for _, d := range c.Days {
		for _, p := range d.Parts {
			if _, seen := sums[p.Name]; !seen {
				names = append(names, p.Name)
			}
			sums[p.Name] += p.Cost
		}
	}
	// Few names: an insertion sort that keeps the order of equals.
	for i := 1; i < len(names); i++ {
		for j := i; j > 0 && sums[names[j]] > sums[names[j-1]]; j-- {
			names[j], names[j-1] = names[j-1], names[j]
		}
	}
	if len(names) > maxSeries {
		names = append(names[:maxSeries-1], "others")
	}
	return names
}

// classes returns the style of each name.
func (c CostChart) classes() map[string]string {
	class := map[string]string{}
	for i, name := range c.Names() {
		class[name] = "s" + strconv.Itoa(i+1)
	}
	return class
}

// hasAhead reports whether any day holds a forecast.
func (c CostChart) hasAhead() bool {
	for _, d := range c.Days {
		if d.Ahead != 0 {
			return true
		}
	}
	return false
}

// empty reports whether nothing was spent at all.
func (c CostChart) empty() bool {
	for _, d := range c.Days {
		if d.total() != 0 {
			return false
		}
	}
	return true
}

// drawing is a CostChart laid out in pixels.
type drawing struct {
	Width, Height, Left, Bottom float64
	Ticks                       []tick
	Columns                     []column
	Today                       float64 // where the forecast begins; 0: nowhere
}

type tick struct {
	Y     float64
	Label string
}

type column struct {
	X, Width float64
	Rects    []rect
	Label    string // under the column; often empty
	Href     string
	Readout  string
}

type rect struct {
	Y, Height float64
	Class     string
}

// layOut places the chart in a box. The axis begins at zero and ends at the
// first round amount above the data.
func (c CostChart) layOut(width, height float64, labelEvery int) drawing {
	const left, top, foot, gap = 46, 10, 22, 3
	d := drawing{Width: width, Height: height, Left: left, Bottom: height - foot}
	var highest money.EUR
	for _, day := range c.Days {
		highest = max(highest, day.total()+day.Ahead)
	}
	step := niceStep(highest)
	ceiling := step * ((highest + step - 1) / step)
	if ceiling == 0 {
		ceiling = step
	}
	room := d.Bottom - top
	scale := func(e money.EUR) float64 { return room * float64(e) / float64(ceiling) }
	for v := money.EUR(0); v <= ceiling; v += step {
		d.Ticks = append(d.Ticks, tick{d.Bottom - scale(v), axis(v, step)})
	}
	class := c.classes()
	each := (width - left) / float64(max(1, len(c.Days)))
	for i, day := range c.Days {
		col := column{X: left + float64(i)*each + gap/2, Width: max(1, each-gap), Href: day.Href, Readout: day.readout()}
		if i%labelEvery == 0 {
			col.Label = day.Day.Format("2 Jan")
		}
		y := d.Bottom
		stack := func(e money.EUR, class string) {
			h := scale(e)
			if h < 0.4 {
				return
			}
			y -= h
			col.Rects = append(col.Rects, rect{y, max(0.5, h-1), class})
		}
		for _, name := range c.Names() {
			stack(day.part(name, class), class[name])
		}
		stack(day.Ahead, "ahead")
		if day.Ahead != 0 && d.Today == 0 {
			d.Today = col.X + col.Width + gap/2
			if day.total() == 0 {
				d.Today = col.X - gap/2
			}
		}
		d.Columns = append(d.Columns, col)
	}
	return d
}

// part returns what the day spent on name, or on all that has no colour of its
// own when name is the last one.
func (d CostDay) part(name string, class map[string]string) money.EUR {
	var sum money.EUR
	for _, p := range d.Parts {
		_, known := class[p.Name]
		if p.Name == name || name == "others" && !known {
			sum += p.Cost
		}
	}
	return sum
}

// niceStep returns a round amount that divides highest into three to six parts.
func niceStep(highest money.EUR) money.EUR {
	if highest <= 0 {
		return money.Euro
	}
	raw := float64(highest) / 4
	mag := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if m*mag >= raw {
			return max(1, money.EUR(m*mag))
		}
	}
	return max(1, money.EUR(10*mag))
}

// axis writes an amount beside the axis, as fine as the steps are.
func axis(v, step money.EUR) string {
	if v == 0 {
		return "0 €"
	}
	places := 0
	for unit := money.Euro; places < 9 && step%unit != 0; unit /= 10 {
		places++
	}
	return group(v.Round(places)) + " €"
}
