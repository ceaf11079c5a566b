package auth_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/inventiv-it-for-ai/inventiv/app/fault"
	"github.com/inventiv-it-for-ai/inventiv/modules/auth"
)

// documented reads the table of doc.go: permission → roles.
func documented(t *testing.T) map[auth.Permission][]string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	ok(t, err)
	table := map[auth.Permission][]string{}
	for line := range strings.Lines(string(text)) {
		if row, found := strings.CutPrefix(line, "//\t"); found {
			fields := strings.Fields(row)
			table[auth.Permission(fields[0])] = fields[1:]
		}
	}
	return table
}

func TestRoles_mayWhatTheTableOfTheirDocumentSays(t *testing.T) {
	t.Parallel()
	table := documented(t)
	if len(table) != len(auth.Permissions()) {
		t.Errorf("doc.go has %d permissions, the code %d", len(table), len(auth.Permissions()))
	}
	org := uuid.New()
	for _, p := range auth.Permissions() {
		for _, role := range auth.Roles() {
			want := slices.Contains(table[p], string(role))
			t.Run(fmt.Sprintf("%s %s", role, p), func(t *testing.T) {
				t.Parallel()
				a := auth.Actor{UserID: uuid.New(), Organisation: org, Role: role}
				if got := a.Can(p); got != want {
					t.Errorf("Can = %v, want %v", got, want)
				}
				if err := auth.Need(a, p); want != (err == nil) {
					t.Errorf("Need = %v", err)
				} else if !want {
					is(t, err, fault.Denied, "permission_denied")
				}
				a.Organisation = uuid.Nil
				if a.Can(p) {
					t.Error("holds without an organisation")
				}
				if (auth.Actor{}).Can(p) || (auth.Actor{Organisation: org}).Can(p) || (auth.Actor{Organisation: org, Role: "root"}).Can(p) {
					t.Error("holds for nobody")
				}
			})
		}
	}
}

// D6: a ladder would give an admin what a manager may, and an owner's flag on
// the platform what only its operator may.
func TestRoles_areSets(t *testing.T) {
	t.Parallel()
	switch {
	case auth.Admin.Can(auth.PricesEdit):
		t.Error("an admin may set prices")
	case auth.Manager.Can(auth.InstancesOperate):
		t.Error("a manager may deploy")
	case auth.Owner.Can(auth.PlatformOperate):
		t.Error("an owner operates the platform")
	case !(auth.Actor{UserID: uuid.New(), PlatformAdmin: true}).Can(auth.PlatformOperate):
		t.Error("an operator does not operate the platform")
	}
	for _, p := range auth.Permissions() {
		if name := string(p); auth.Auditor.Can(p) && !strings.HasSuffix(name, ".view") && p != auth.UsageOwn && p != auth.UsageAll {
			t.Errorf("an auditor may %s", p)
		}
	}
}

func TestGrants_B28_neverAboveOwn(t *testing.T) {
	t.Parallel()
	may := map[auth.Role][]auth.Role{
		auth.Owner: {auth.Owner, auth.Admin, auth.Manager, auth.User, auth.Auditor},
		auth.Admin: {auth.Manager, auth.User, auth.Auditor},
	}
	for _, by := range append(auth.Roles(), "root", "") {
		for _, role := range append(auth.Roles(), "root", "") {
			if got, want := by.Grants(role), slices.Contains(may[by], role); got != want {
				t.Errorf("%q grants %q = %v, want %v", by, role, got, want)
			}
		}
	}
}

// A key is the intersection of its scopes and its owner's role.
func TestActor_keyMayNoMoreThanScopesAndOwner(t *testing.T) {
	t.Parallel()
	for _, role := range auth.Roles() {
		for _, operator := range []bool{false, true} {
			owner := auth.Actor{UserID: uuid.New(), Organisation: uuid.New(), Role: role, PlatformAdmin: operator}
			for scopes := range auth.ScopeInference | auth.ScopeAdmin + 1 {
				key := owner
				key.KeyID, key.Scopes = uuid.New(), scopes
				for _, p := range append(auth.Permissions(), auth.PlatformOperate) {
					inScope := scopes.Has(auth.ScopeAdmin)
					if p == auth.InferenceUse {
						inScope = scopes.Has(auth.ScopeInference)
					}
					if got, want := key.Can(p), owner.Can(p) && inScope; got != want {
						t.Errorf("key of a %s with %v: %s = %v, want %v", role, scopes.Names(), p, got, want)
					}
				}
			}
		}
	}
}

func TestParseScopes(t *testing.T) {
	t.Parallel()
	both, err := auth.ParseScopes([]string{"admin", "inference"})
	if err != nil || both != auth.ScopeAdmin|auth.ScopeInference || len(both.Names()) != 2 {
		t.Errorf("ParseScopes = %v, %v", both, err)
	}
	for _, bad := range [][]string{nil, {"root"}, {"inference", ""}} {
		if _, err := auth.ParseScopes(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParseScopes(%q) = %v, want invalid", bad, err)
		}
	}
}
