package env_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"quittance.internal/libs/platform/env"
)

// Each content is told once, and so is each error, also one that was there before and was cured in between.
func TestAFileThatIsFollowedTellsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		ctx, cancel := context.WithCancel(t.Context())
		var told []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			env.FollowSecretFile(ctx, path, time.Second, func(s env.Secret, err error) {
				if err != nil {
					told = append(told, "error")
					return
				}
				told = append(told, s.Reveal())
			})
		}()
		for _, content := range []string{"a", "a", "b", "", "", "b", ""} { // "" takes the file away
			if content == "" {
				_ = os.Remove(path)
			} else if err := os.WriteFile(path, []byte(content+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		cancel()
		<-ended
		if want := []string{"a", "b", "error", "b", "error"}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

func TestWithoutAPathNothingIsFollowed(t *testing.T) {
	env.FollowSecretFile(t.Context(), "", time.Second, func(env.Secret, error) { t.Error("something is told") })
}
