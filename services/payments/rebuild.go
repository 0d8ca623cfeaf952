package payments

import "quittance.internal/libs/platform/redisquote"

// build is a generation that is being filled beside the one in use.
type build struct {
	keys redisquote.Keys
}
