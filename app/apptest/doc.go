// Package apptest tests the program from the outside, as processes: it starts,
// kills, stops and floods real ones and compares what clients saw with what was
// recorded. Its tests are all there is.
package apptest
