// Package archtest holds the shape of the program as tests: who may import
// whom, who owns which SQL, how long a file may be, and what a test may not do.
package archtest
