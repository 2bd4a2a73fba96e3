package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// Below these, one broker that fails may take with it what it has acknowledged.
const (
	safeReplicas = 3
	safeInSync   = 2
)

// ready sees that the topic is there, and how large its batches may be. Errors match ErrInvalid
// where a person has to do something, else they are outages.
func (s *Sink) ready(ctx context.Context) error {
	if s.isReady.Load() {
		return nil
	}
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.isReady.Load() {
		return nil
	}
	replicas, err := s.findTopic(ctx)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		if err = s.makeTopic(ctx); err == nil {
			replicas, err = s.findTopic(ctx)
		}
	}
	if err != nil {
		return s.topicError(err)
	}
	if err := s.readConfig(ctx, replicas); err != nil {
		return err
	}
	s.isReady.Store(true)
	return nil
}

// findTopic returns how many replicas the topic has. It makes none, whatever brokers do by default.
func (s *Sink) findTopic(ctx context.Context) (replicas int, err error) {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(s.topic)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return 0, err
	}
	if len(response.Topics) != 1 {
		return 0, fmt.Errorf("the broker tells of %d topics, and was asked for one", len(response.Topics))
	}
	found := response.Topics[0]
	for _, partition := range found.Partitions {
		if n := len(partition.Replicas); replicas == 0 || n < replicas {
			replicas = n
		}
	}
	return replicas, kerr.ErrorForCode(found.ErrorCode)
}

// makeTopic makes it with the partitions and replicas that are the default of the brokers.
func (s *Sink) makeTopic(ctx context.Context) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = s.topic, -1, -1
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return err
	}
	if len(response.Topics) != 1 {
		return fmt.Errorf("the broker has made %d topics, and was asked for one", len(response.Topics))
	}
	err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil // another one has made it meanwhile
	}
	if err == nil {
		s.logger.Info("a topic was made for a destination", telemetry.KeyStream, s.topic)
	}
	return err
}

// topicError sorts an error of a topic: what an operator has to allow or to mend is for a person.
func (s *Sink) topicError(err error) error {
	switch {
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return pillarbox.Invalid("%s: the user may not describe or make the topic; allow it, or make the topic: %w", s, err)
	case errors.Is(err, kerr.PolicyViolation), errors.Is(err, kerr.InvalidTopicException):
		return pillarbox.Invalid("%s: the brokers do not make such a topic; make it yourself: %w", s, err)
	}
	return s.unavailable(fmt.Errorf("look for the topic: %w", err))
}

// readConfig takes the largest batch from the configuration of the topic, and warns of few replicas.
// Who may not read it, goes on with defaults.
func (s *Sink) readConfig(ctx context.Context, replicas int) error {
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, s.topic
	resource.ConfigNames = []string{"max.message.bytes", "min.insync.replicas"}
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return s.unavailable(fmt.Errorf("read the configuration of the topic: %w", err))
	}
	inSync := 0
	for _, found := range response.Resources {
		for _, config := range found.Configs {
			if config.Value == nil {
				continue
			}
			n, err := strconv.Atoi(*config.Value)
			switch {
			case err != nil:
			case config.Name == "max.message.bytes":
				// The client keeps what it has read first.
				s.sized.Do(func() { s.maxBytes.Store(int32(max(minMaxBytes, min(n, mostMaxBytes)))) })
			default:
				inSync = n
			}
		}
	}
	if replicas < safeReplicas || inSync > 0 && inSync < safeInSync {
		s.warned.Do(func() {
			s.logger.Warn("a topic has few replicas, or asks for few of them: a broker that fails may lose what it has stored",
				telemetry.KeyStream, s.topic)
		})
	}
	return nil
}
