package cli

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"
)

// atMost is how many of a long list are asked for: a number from 1, or 0 for all.
type atMost int

// limit adds the flag that all long lists have.
func (n *atMost) limit(cmd *cobra.Command, usual atMost) {
	*n = usual
	cmd.Flags().Var(n, "limit", "at most so many, or all")
}

// String returns the number as it is given.
func (n *atMost) String() string {
	if *n == 0 {
		return "all"
	}
	return strconv.Itoa(int(*n))
}

// Set reads what was given.
func (n *atMost) Set(text string) error {
	if text == "all" {
		*n = 0
		return nil
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < 1 {
		return errors.New("it is a whole number from 1 on, or all")
	}
	*n = atMost(number)
	return nil
}

// Type names the values in the help.
func (n *atMost) Type() string { return "number" }
