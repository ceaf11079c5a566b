//go:build race

package auth_test

// raceDetector says that sync.Pool forgets at random, to find races.
const raceDetector = true
