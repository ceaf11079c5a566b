package catalog

import (
	"math"
	"regexp"
	"strconv"
	"strings"
)

// defaultVolumeGB is for a model whose name does not tell its size.
const defaultVolumeGB = 200

// billions finds a number of parameters in a name: 7b, 0.5B, 8x22b.
var billions = regexp.MustCompile(`\b(?:(\d+)x)?(\d+(?:\.\d+)?)b\b`)

// RecommendedVolumeGB returns the disk a model needs for its weights, the
// engine and some air: what the catalogue has stored for it when that is not 0,
// else an estimate from the number of parameters in its name.
func RecommendedVolumeGB(name string, stored int) int {
	if stored > 0 {
		return stored
	}
	var size float64 // billions of parameters
	for _, match := range billions.FindAllStringSubmatch(strings.ToLower(name), -1) {
		each, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			continue
		}
		if experts, err := strconv.ParseFloat(match[1], 64); err == nil {
			each *= experts
		}
		size = max(size, each)
	}
	switch {
	case size == 0:
		return defaultVolumeGB
	case size < 1:
		return 50
	case size <= 3:
		return 70
	case size <= 9:
		return 100
	case size <= 14:
		return 120
	case size <= 34:
		return 180
	case size <= 72:
		return 450
	}
	const step = 50 // what is bigger grows as these do
	return int(math.Ceil(min(size, 1600)*450/72/step)) * step
}
