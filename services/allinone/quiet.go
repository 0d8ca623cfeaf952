package allinone

import (
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Lines that warn of something in a deployment and are the ordinary case here: the embedded Redis comes back empty at every
// start, and the connections end when a person ends the whole system. They would stand between the reader and the tour.
var (
	ordinaryAlways = []string{"redis differs from what was known, folding again"}
	ordinaryAtEnd  = []string{"nats disconnected"}
)

// quietCore passes everything on but what is ordinary here.
type quietCore struct {
	zapcore.Core
	embeddedRedis bool
	ending        *atomic.Bool
}

// quiet returns log without the ordinary lines; ending is set when the end is meant.
func quiet(log *zap.Logger, embeddedRedis bool, ending *atomic.Bool) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return quietCore{core, embeddedRedis, ending} }))
}

// With keeps the wrapper around a logger that got fields.
func (c quietCore) With(fields []zapcore.Field) zapcore.Core {
	return quietCore{c.Core.With(fields), c.embeddedRedis, c.ending}
}

// Check leaves out what is ordinary.
func (c quietCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.embeddedRedis && slices.Contains(ordinaryAlways, e.Message) || c.ending.Load() && slices.Contains(ordinaryAtEnd, e.Message) {
		return ce
	}
	return c.Core.Check(e, ce)
}
