package machine_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/inventiv-it-for-ai/inventiv/modules/agent/machine"
	"github.com/inventiv-it-for-ai/inventiv/modules/agent/wire"
)

// The lines are in the format that the driver's manual gives for
// --format=csv,noheader,nounits; no driver is needed to read them.
const twoCards = `0, GPU-5c7c0d9e-3b1a-4d3e-9c4b-0f5a0b6e7d11, NVIDIA L40S, 87, 43210, 46068, 64, 281.37
1, GPU-1f0e2d3c-4b5a-6978-8796-a5b4c3d2e1f0, NVIDIA L40S, 0, 3, 46068, 31, 33.02
`

const oddCard = `0, [N/A], Tesla M10, [N/A], 1024, 8192, [Unknown Error], [Not Supported]` + "\n"

func TestParseGPUs(t *testing.T) {
	t.Parallel()
	got, err := machine.ParseGPUs(twoCards)
	want := []wire.GPU{
		{
			Index: 0, UUID: "GPU-5c7c0d9e-3b1a-4d3e-9c4b-0f5a0b6e7d11", Name: "NVIDIA L40S", Utilisation: new(87.0),
			MemoryUsed: new(int64(43210 << 20)), MemoryTotal: new(int64(46068 << 20)), Temperature: new(64.0), Power: new(281.37),
		},
		{
			Index: 1, UUID: "GPU-1f0e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", Name: "NVIDIA L40S", Utilisation: new(0.0),
			MemoryUsed: new(int64(3 << 20)), MemoryTotal: new(int64(46068 << 20)), Temperature: new(31.0), Power: new(33.02),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ParseGPUs: %v\n%s", err, diff)
	}
}

func TestParseGPUs_leavesOutWhatIsUnknown(t *testing.T) {
	t.Parallel()
	got, err := machine.ParseGPUs(oddCard)
	want := []wire.GPU{{Index: 0, Name: "Tesla M10", MemoryUsed: new(int64(1 << 30)), MemoryTotal: new(int64(8 << 30))}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ParseGPUs: %v\n%s", err, diff)
	}
	for _, text := range []string{
		"No devices were found\n",
		"NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n",
		"x, a, b, 1, 2, 3, 4, 5\n",
	} {
		if gpus, err := machine.ParseGPUs(text); err == nil {
			t.Errorf("%q is read as %v", text, gpus)
		}
	}
	if gpus, err := machine.ParseGPUs(""); len(gpus) != 0 || err != nil {
		t.Errorf("nothing is read as %v, %v", gpus, err)
	}
}

func TestGPUs_asksTheProgramThatIsThere(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if gpus, err := machine.GPUs(t.Context()); gpus != nil || err != nil {
		t.Errorf("without a driver: %v, %v", gpus, err)
	}
	script := "#!/bin/sh\n[ \"$2\" = --format=csv,noheader,nounits ] || exit 2\nprintf '%s' '" + twoCards + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if gpus, err := machine.GPUs(t.Context()); len(gpus) != 2 || err != nil {
		t.Errorf("with a driver: %v, %v", gpus, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\nexit 9\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := machine.GPUs(t.Context()); err == nil {
		t.Error("a driver that fails gives no error")
	}
}

func TestRead_tellsThisMachine(t *testing.T) {
	t.Parallel()
	r := machine.NewReader(t.TempDir())
	first := r.Read(t.Context())
	if first.CPU != nil {
		t.Error("the first reading invents processor use")
	}
	if first.CPUs < 1 || first.MemoryTotal == nil || *first.MemoryUsed > *first.MemoryTotal || first.DiskTotal == nil || first.Load1 == nil {
		t.Errorf("Read = %+v", first)
	}
}
