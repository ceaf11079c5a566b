package catalog

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"
)

// suggestions is how many choices a refusal names.
const suggestions = 3

// nearest returns the suggestions choices that differ least from what was
// typed, in order; equal ones keep theirs. What is far too long to be a slip
// gets the first choices.
func nearest(typed string, choices []string) []string {
	if utf8.RuneCountInString(typed) > 200 {
		typed = ""
	}
	sorted := slices.Clone(choices)
	if typed != "" {
		slices.SortStableFunc(sorted, func(a, b string) int {
			return cmp.Compare(distance(typed, a), distance(typed, b))
		})
	}
	return sorted[:min(suggestions, len(sorted))]
}

// distance is the number of letters to change, add or drop between a and b,
// whatever their case.
func distance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			change := diagonal
			if x[i] != y[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(y)]
}
