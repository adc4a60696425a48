package repo

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/pyrossl/pyrossl/validator/rulefile"
)

type service struct {
	User        string
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	Privileged  bool
	CapAdd      []string `yaml:"cap_add"`
	NetworkMode string   `yaml:"network_mode"`
	Volumes     []string
	Healthcheck struct{ Test []string }
	Profiles    []string
}

// Every container is confined, the CA's key is seen by the CA steps alone, and each
// service sees no other's key.
func TestComposeServicesAreConfined(t *testing.T) {
	var file struct{ Services map[string]service }
	if err := yaml.Unmarshal(read(t, "docker-compose.yml"), &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Services) < 6 {
		t.Fatalf("docker-compose.yml has %d services, want CA steps, a broker, a bank and a client", len(file.Services))
	}
	for name, s := range file.Services {
		if s.User != "65532:65532" || !s.ReadOnly || s.Privileged || len(s.CapAdd) > 0 ||
			!slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("service %s is not confined: %+v", name, s)
		}
		step, isStep := strings.CutPrefix(name, "ca-")
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			switch {
			case volume == "ca" && isStep:
			case volume == step+"-pki":
				if !isStep && !strings.HasSuffix(v, ":ro") {
					t.Errorf("service %s may write to %s", name, volume)
				}
			case volume == "./compose" && !isStep && strings.HasSuffix(v, ":ro"):
			default:
				t.Errorf("service %s mounts %s", name, v)
			}
		}
		if isStep && s.NetworkMode != "none" {
			t.Errorf("CA step %s has a network", name)
		}
		if long := name == "broker" || name == "bank"; long != slices.Contains(s.Healthcheck.Test, "probe") {
			t.Errorf("service %s: its health check is %q", name, s.Healthcheck.Test)
		}
	}
}

// The rule files are complete: reading them is strict.
func TestComposeRulesAreRead(t *testing.T) {
	dir := filepath.Join(root(t), "compose")
	for _, name := range []string{"identities.yaml", "bank-rules.yaml"} {
		if _, err := rulefile.LoadIdentities(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"broker-policy.yaml", "bank-rules.yaml"} {
		if _, err := rulefile.LoadRules(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}
