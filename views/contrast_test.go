package views_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

var tokenSyntax = regexp.MustCompile(`--([a-z0-9-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\)`)

// tokens reads every colour of the stylesheet: name → light and dark.
func tokens(t *testing.T) map[string][2]uint32 {
	t.Helper()
	css, err := os.ReadFile("assets/css/tokens.css")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][2]uint32{}
	for _, m := range tokenSyntax.FindAllStringSubmatch(string(css), -1) {
		light, err1 := strconv.ParseUint(m[2], 16, 32)
		dark, err2 := strconv.ParseUint(m[3], 16, 32)
		if err1 != nil || err2 != nil {
			t.Fatal(m[0])
		}
		all[m[1]] = [2]uint32{uint32(light), uint32(dark)}
	}
	return all
}

// luminance is WCAG's relative luminance of an sRGB colour.
func luminance(rgb uint32) float64 {
	channel := func(shift int) float64 {
		v := float64(rgb>>shift&0xff) / 255
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(16) + 0.7152*channel(8) + 0.0722*channel(0)
}

func contrast(a, b uint32) float64 {
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}

// mix lays share of top over ground, as the tinted surfaces do.
func mix(top, ground uint32, share float64) uint32 {
	var out uint32
	for _, shift := range []int{16, 8, 0} {
		v := float64(top>>shift&0xff)*share + float64(ground>>shift&0xff)*(1-share)
		out |= uint32(v+0.5) << shift
	}
	return out
}

// TestTokens_contrast computes the contrast of every pair that carries text
// (4.5:1) or a shape that must be seen (3:1), in both themes.
func TestTokens_contrast(t *testing.T) {
	t.Parallel()
	colours := tokens(t)
	if len(colours) < 25 {
		t.Fatalf("only %d colour tokens were read", len(colours))
	}
	surfaces := []string{"ground", "sheet", "sunk", "raised"}
	check := func(front, back string, want float64) {
		f, ok1 := colours[front]
		b, ok2 := colours[back]
		if !ok1 || !ok2 {
			t.Errorf("no token %s or %s", front, back)
			return
		}
		for i, theme := range []string{"light", "dark"} {
			if got := contrast(f[i], b[i]); got < want {
				t.Errorf("%s: %s on %s is %.2f:1, want %.1f:1", theme, front, back, got, want)
			}
		}
	}
	for _, s := range surfaces {
		for _, text := range []string{"ink", "ink-2", "ink-3", "accent", "ok", "busy", "bad"} {
			check(text, s, 4.5)
		}
		check("edge", s, 3)
	}
	for _, text := range []string{"ink", "ink-2", "ink-3"} {
		check(text, "busy-soft", 4.5)
		check(text, "bad-soft", 4.5)
		check(text, "accent-soft", 4.5)
	}
	check("ink", "chosen", 4.5)
	check("accent", "accent-soft", 4.5)
	check("busy", "busy-soft", 4.5)
	check("bad", "bad-soft", 4.5)
	check("on-accent", "accent", 4.5)
	check("on-bad", "bad", 4.5)
	check("ground", "ink", 4.5) // numbers of the deploy form
	for _, series := range []string{"c1", "c2", "c3", "c4", "c5", "c6"} {
		check(series, "sheet", 3)
	}

	// Tags, tabs and quiet buttons stand on ink laid thinly over the surface.
	for _, s := range surfaces {
		for i, theme := range []string{"light", "dark"} {
			for _, share := range []float64{0.05, 0.06, 0.07} {
				back := mix(colours["ink"][i], colours[s][i], share)
				if got := contrast(colours["ink-2"][i], back); got < 4.5 {
					t.Errorf("%s: ink-2 on %s under %.0f%% of ink is %.2f:1", theme, s, share*100, got)
				}
			}
		}
	}
}
