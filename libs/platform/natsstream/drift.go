package natsstream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Drift lists how streams, buckets and consumers differ from what Declare of this version makes, in ways that matter: more
// subjects, replicas or a longer memory are fine. What is missing is one line each.
func Drift(ctx context.Context, js jetstream.JetStream) ([]string, error) {
	var all []string
	for _, want := range streamConfigs(1) {
		stream, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			all = append(all, fmt.Sprintf("stream %s is missing", want.Name))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up stream %s: %w", want.Name, err)
		}
		for _, fault := range drift(stream.CachedInfo().Config) {
			all = append(all, fault.Error())
		}
	}
	for _, want := range bucketConfigs(1) {
		stream, err := js.Stream(ctx, "KV_"+want.Bucket)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			all = append(all, fmt.Sprintf("bucket %s is missing", want.Bucket))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up bucket %s: %w", want.Bucket, err)
		}
		all = append(all, bucketDrift(want, stream.CachedInfo().Config)...)
	}
	for _, want := range consumerConfigs() {
		consumer, err := js.Consumer(ctx, want.stream, want.config.Durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			all = append(all, fmt.Sprintf("consumer %s of %s is missing", want.config.Durable, want.stream))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up consumer %s of %s: %w", want.config.Durable, want.stream, err)
		}
		all = append(all, consumerDrift(want, consumer.CachedInfo())...)
	}
	return all, nil
}

func bucketDrift(want jetstream.KeyValueConfig, have jetstream.StreamConfig) []string {
	var all []string
	if have.MaxAge != 0 {
		all = append(all, fmt.Sprintf("bucket %s: forgets keys after %s", want.Bucket, have.MaxAge))
	}
	if have.Storage != want.Storage {
		all = append(all, fmt.Sprintf("bucket %s: storage is %s, want %s", want.Bucket, have.Storage, want.Storage))
	}
	if have.Discard != jetstream.DiscardNew {
		all = append(all, fmt.Sprintf("bucket %s: drops old keys when it is full", want.Bucket))
	}
	return all
}

func consumerDrift(want consumerConfig, info *jetstream.ConsumerInfo) []string {
	var all []string
	have := info.Config
	differs := func(what string, have, want any) {
		all = append(all, fmt.Sprintf("consumer %s of %s: %s is %v, want %v", info.Name, info.Stream, what, have, want))
	}
	if filters := slices.Concat([]string{have.FilterSubject}, have.FilterSubjects); !slices.Equal(filters, []string{want.config.FilterSubject}) {
		differs("filter", filters, want.config.FilterSubject)
	}
	if have.AckPolicy != want.config.AckPolicy {
		differs("ack policy", have.AckPolicy, want.config.AckPolicy)
	}
	if have.AckWait != want.config.AckWait || len(have.BackOff) > 0 {
		differs("ack wait", fmt.Sprint(have.AckWait, have.BackOff), want.config.AckWait)
	}
	if have.MaxDeliver != want.config.MaxDeliver {
		differs("max deliver", have.MaxDeliver, want.config.MaxDeliver)
	}
	if have.MaxAckPending < want.config.MaxAckPending && have.MaxAckPending > 0 {
		differs("max ack pending", have.MaxAckPending, want.config.MaxAckPending)
	}
	if have.InactiveThreshold != 0 {
		differs("inactive threshold", have.InactiveThreshold, "none")
	}
	if info.Paused {
		all = append(all, fmt.Sprintf("consumer %s of %s: is paused for another %s", info.Name, info.Stream, info.PauseRemaining))
	}
	return all
}
