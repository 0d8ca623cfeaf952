package env

import (
	"context"
	"time"
)

// FollowSecretFile reads a secret's file every so often until ctx ends and hands the first content and each new one to changed, or
// the error that took its place; then the secret is empty. The same again, content or error, is told once. It compares contents, not
// times: two writes within one tick of the file system's clock differ in nothing else. An empty path is not followed.
func FollowSecretFile(ctx context.Context, path string, every time.Duration, changed func(Secret, error)) {
	if path == "" {
		return
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var content, fault string
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		was, before := content, fault
		secret, err := ReadSecretFile(path)
		if content, fault = secret.Reveal(), ""; err != nil {
			fault = err.Error()
		}
		if first || content != was || fault != before {
			changed(secret, err)
		}
	}
}
