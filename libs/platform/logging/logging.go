// Package logging makes the one kind of logger that all services use: zap, JSON lines on standard error, UTC times,
// durations in seconds.
//
// It does not decide what is logged. The rules (style.md): one wide line per message or request, constant text, typed
// snake_case fields, never a secret, a signature header, an e-mail address or a raw body. Mask is the one way to name an
// e-mail address.
package logging

import (
	"fmt"
	"io"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Levels are the accepted values of LOG_LEVEL.
var Levels = []string{"debug", "info", "warn", "error"}

// New returns a logger for service that writes JSON lines to w. level is one of Levels.
func New(w io.Writer, level, service string) (*zap.Logger, error) {
	lv, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("parse log level: %w", err)
	}
	cfg := zap.NewProductionEncoderConfig()
	cfg.TimeKey = "time"
	cfg.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	cfg.EncodeDuration = zapcore.SecondsDurationEncoder
	gathered := &lines{out: zapcore.AddSync(w)}
	quiet := zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l >= lv && l < zapcore.WarnLevel })
	loud := zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l >= lv && l >= zapcore.WarnLevel })
	core := zapcore.NewTee(
		zapcore.NewCore(zapcore.NewJSONEncoder(cfg), gathered, quiet),
		zapcore.NewCore(zapcore.NewJSONEncoder(cfg), urgent{gathered}, loud),
	)
	return zap.New(core, zap.AddStacktrace(zapcore.DPanicLevel)).With(zap.String("service", service)), nil
}

// Mask returns an e-mail address in a form that is safe to log: the first letter and the domain, "m***@example.com".
// Anything that is not an address becomes "***".
func Mask(address string) string {
	local, domain, ok := strings.Cut(address, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(domain, "@ \r\n\t") {
		return "***"
	}
	return string([]rune(local)[:1]) + "***@" + domain
}
