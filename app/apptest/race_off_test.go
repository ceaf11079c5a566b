//go:build !race

package apptest_test

// slow says that every process here is several times slower and larger.
const slow = false
