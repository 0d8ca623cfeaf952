package allinone_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"quittance.internal/libs/platform/env"
	"quittance.internal/services/console"
	"quittance.internal/services/ingress"
	"quittance.internal/services/notifier"
	"quittance.internal/services/payments"
	"quittance.internal/services/quotes"
	"quittance.internal/services/sandbox"
)

const repoDir = "../.."

// loadCompose reads docker-compose.yml as `docker compose config` does: the same library, all checks on.
func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	return loadProfiles(t, "*")
}

func loadProfiles(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	opts, err := cli.NewProjectOptions([]string{filepath.Join(repoDir, "docker-compose.yml")}, cli.WithProfiles(profiles),
		cli.WithInterpolation(true), cli.WithNormalization(true), cli.WithConsistency(true), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := opts.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("docker-compose.yml: %v", err)
	}
	return p
}

// R73: the compose file is valid and has the whole system.
func TestComposeFileHasTheWholeSystem(t *testing.T) {
	p := loadCompose(t)
	want := []string{"console", "declare", "ingress", "mailpit", "nats", "notifier", "payments", "prepare", "prepare-sandbox", "quotectl", "quotes", "redis", "sandbox"}
	if got := p.ServiceNames(); !slices.Equal(got, want) {
		t.Errorf("services = %v, want %v", got, want)
	}
	// A service starts after what it needs: servers healthy, secrets made, streams declared.
	for service, needs := range map[string]map[string]string{
		"nats":     {"prepare": types.ServiceConditionCompletedSuccessfully},
		"redis":    {"prepare": types.ServiceConditionCompletedSuccessfully},
		"declare":  {"nats": types.ServiceConditionHealthy},
		"ingress":  {"declare": types.ServiceConditionCompletedSuccessfully},
		"payments": {"declare": types.ServiceConditionCompletedSuccessfully, "redis": types.ServiceConditionHealthy},
		"notifier": {"declare": types.ServiceConditionCompletedSuccessfully, "mailpit": types.ServiceConditionHealthy},
		"quotes": {
			"declare": types.ServiceConditionCompletedSuccessfully, "redis": types.ServiceConditionHealthy,
			"prepare-sandbox": types.ServiceConditionCompletedSuccessfully,
		},
		"console":         {"declare": types.ServiceConditionCompletedSuccessfully, "redis": types.ServiceConditionHealthy},
		"prepare-sandbox": {"prepare": types.ServiceConditionCompletedSuccessfully},
		"sandbox":         {"prepare": types.ServiceConditionCompletedSuccessfully},
	} {
		for on, condition := range needs {
			if got := p.Services[service].DependsOn[on].Condition; got != condition {
				t.Errorf("%s waits for %s with %q, want %q", service, on, got, condition)
			}
		}
	}
}

// The sandbox starts when it is asked for, and nothing waits for it otherwise.
func TestComposeSandboxIsAProfile(t *testing.T) {
	for profile, want := range map[string]bool{"sandbox": true, "tools": false} {
		p := loadProfiles(t, profile)
		_, runs := p.Services["sandbox"]
		_, prepares := p.Services["prepare-sandbox"]
		if runs != want || prepares != want {
			t.Errorf("profile %s: sandbox runs %t, prepares %t; want %t", profile, runs, prepares, want)
		}
		if p.Services["quotes"].DependsOn["prepare-sandbox"].Required {
			t.Errorf("profile %s: quotes waits for the sandbox's preparation even where there is none", profile)
		}
	}
}

// Without the sandbox quotes has no key, or the one that was put into keep/; never both.
func TestPrepareTakesTheSandboxForStripeOnlyWhereThereIsNoKey(t *testing.T) {
	secrets := prepareSecrets(t)
	if key := readFile(t, secrets, "quotes/stripe_api_key"); key != "" {
		t.Error("quotes has a key although there is neither a sandbox nor a Stripe account")
	}
	prepareSandbox(t, secrets)
	if quotes, sandbox := readFile(t, secrets, "quotes/stripe_api_key"), readFile(t, secrets, "sandbox/stripe_api_key"); quotes != sandbox || quotes == "" {
		t.Error("quotes and the sandbox do not have one key")
	}
	prepareSecrets(t, "SECRETS="+secrets)
	if key := readFile(t, secrets, "quotes/stripe_api_key"); key != "" {
		t.Error("quotes keeps the sandbox's key without the sandbox")
	}

	if err := os.WriteFile(filepath.Join(secrets, "keep/stripe_api_key"), []byte("sk_test_mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	prepareSecrets(t, "SECRETS="+secrets)
	if key := readFile(t, secrets, "quotes/stripe_api_key"); strings.TrimSpace(key) != "sk_test_mine" {
		t.Errorf("quotes does not get the key that was put into keep")
	}
	cmd := exec.CommandContext(t.Context(), "sh", filepath.Join(deployDir, "prepare.sh"), "sandbox")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SECRETS=" + secrets, "CONFIG=" + deployDir}
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "keep/stripe_api_key") {
		t.Errorf("the sandbox stands in for Stripe beside a key: %v\n%s", err, out)
	}
}

// Every container runs without root, capabilities, a writable root and new privileges; prepare alone is root, without a
// network, and keeps two capabilities.
func TestComposeContainersAreHardened(t *testing.T) {
	p := loadCompose(t)
	for name, s := range p.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.PidsLimit == 0 {
			t.Errorf("%s: read_only %t, cap_drop %v, security_opt %v, pids_limit %d", name, s.ReadOnly, s.CapDrop, s.SecurityOpt, s.PidsLimit)
		}
		if name == "prepare" || name == "prepare-sandbox" {
			if s.NetworkMode != "none" || !slices.Equal(s.CapAdd, []string{"CHOWN", "DAC_OVERRIDE"}) {
				t.Errorf("%s: network %q, cap_add %v", name, s.NetworkMode, s.CapAdd)
			}
			continue
		}
		if s.User != "65532:65532" || len(s.CapAdd) != 0 || s.Privileged {
			t.Errorf("%s: user %q, cap_add %v, privileged %t", name, s.User, s.CapAdd, s.Privileged)
		}
		if oneShot := name == "declare" || name == "quotectl"; !oneShot && (s.HealthCheck == nil || s.Restart != types.RestartPolicyUnlessStopped) {
			t.Errorf("%s: no health check, or restart %q", name, s.Restart)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q, want the loopback alone", name, port.Published, port.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Target == "/run/secrets" && (!v.ReadOnly || !strings.HasPrefix(v.Source, "secrets-")) {
				t.Errorf("%s mounts %s at %s, read-only %t", name, v.Source, v.Target, v.ReadOnly)
			}
			if strings.HasPrefix(v.Source, "secrets-") && v.Target != "/run/secrets" {
				t.Errorf("%s mounts the secrets of another container at %s", name, v.Target)
			}
		}
	}
	for _, internal := range []string{"log", "state", "mail"} {
		if !p.Networks[internal].Internal {
			t.Errorf("network %s has a way out", internal)
		}
	}
}

// Every secret that a container reads is one that prepare.sh puts into its volume, and no secret stands in the environment.
func TestComposeSecretsAreFilesThatPrepareMakes(t *testing.T) {
	p := loadCompose(t)
	secrets := prepareSecrets(t)
	prepareSandbox(t, secrets)
	for name, s := range p.Services {
		folder := ""
		for _, v := range s.Volumes {
			if v.Target == "/run/secrets" {
				folder = strings.TrimPrefix(v.Source, "secrets-")
			}
		}
		for variable, value := range s.Environment {
			for _, secret := range []string{"NATS_URL", "REDIS_URL", "API_TOKENS", "API_TOKEN", "STRIPE_WEBHOOK_SECRETS", "STRIPE_API_KEY", "SANDBOX_WEBHOOK_SECRET"} {
				if variable == secret {
					t.Errorf("%s has the secret %s in its environment", name, variable)
				}
			}
			if !strings.HasSuffix(variable, "_FILE") || value == nil {
				continue
			}
			if path.Dir(*value) != "/run/secrets" {
				t.Errorf("%s reads %s from %s, want /run/secrets", name, variable, *value)
			}
			if readFile(t, secrets, folder, path.Base(*value)) == "" {
				t.Errorf("%s: %s is empty", name, variable)
			}
		}
	}
}

// Each service takes the settings that its container has: one that refuses them starts again and again, and nobody is mailed.
func TestEachServiceTakesItsComposeSettings(t *testing.T) {
	p := loadCompose(t)
	secrets := prepareSecrets(t)
	prepareSandbox(t, secrets)
	for name, read := range map[string]func(env.Lookup) error{
		"ingress":  func(l env.Lookup) error { _, err := ingress.ConfigFromEnv(l); return err },
		"payments": func(l env.Lookup) error { _, err := payments.ConfigFromEnv(l); return err },
		"notifier": func(l env.Lookup) error { _, err := notifier.ConfigFromEnv(l); return err },
		"quotes":   func(l env.Lookup) error { _, err := quotes.ConfigFromEnv(l); return err },
		"console":  func(l env.Lookup) error { _, err := console.ConfigFromEnv(l); return err },
		"sandbox":  func(l env.Lookup) error { _, err := sandbox.ConfigFromEnv(l); return err },
	} {
		err := read(func(variable string) (string, bool) {
			value := p.Services[name].Environment[variable]
			if value == nil {
				return "", false
			}
			return strings.Replace(*value, "/run/secrets", filepath.Join(secrets, name), 1), true
		})
		if err != nil {
			t.Errorf("%s refuses what docker-compose.yml gives it: %v", name, err)
		}
	}
}

func TestPrepareChangesNothingThatItMadeBefore(t *testing.T) {
	secrets := prepareSecrets(t)
	read := func() map[string]string {
		files := map[string]string{}
		err := filepath.WalkDir(secrets, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v, want nothing for others", path, info.Mode())
			}
			files[path] = readFile(t, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	before := read()
	prepareSecrets(t, "SECRETS="+secrets)
	if diff := cmp.Diff(before, read()); diff != "" {
		t.Errorf("a second run (-before +after):\n%s", diff)
	}
}

// A module that go.work lists must be in the image's download layer, or every build fetches everything anew.
func TestDockerfileKnowsEveryModule(t *testing.T) {
	docker := readFile(t, deployDir, "Dockerfile")
	for line := range strings.Lines(readFile(t, repoDir, "go.work")) {
		dir, ok := strings.CutPrefix(strings.TrimSpace(line), "./")
		if ok && !strings.Contains(docker, "COPY "+dir+"/go.* "+dir+"/\n") {
			t.Errorf("deploy/Dockerfile does not copy %s/go.* before it downloads modules", dir)
		}
	}
}
