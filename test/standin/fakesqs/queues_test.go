package fakesqs_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func checkQueueAttributes(b *bench) {
	out, err := b.client.GetQueueAttributes(b.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: b.dead, AttributeNames: []types.QueueAttributeName{"All"}})
	b.must(err)
	for name, want := range map[string]string{
		"MessageRetentionPeriod": "1209600", "MaximumMessageSize": "1048576", "VisibilityTimeout": "30", "DelaySeconds": "0",
		"QueueArn": "arn:aws:sqs:us-east-1:000000000000:dead", "ApproximateNumberOfMessages": "0", "CreatedTimestamp": "1795442400",
	} {
		if out.Attributes[name] != want {
			b.Errorf("%s is %q, want %q", name, out.Attributes[name], want)
		}
	}
	set := func(name, value string) error {
		_, err := b.client.SetQueueAttributes(b.Context(),
			&sqs.SetQueueAttributesInput{QueueUrl: b.queue, Attributes: map[string]string{name: value}})
		return err
	}
	b.must(set("VisibilityTimeout", "9"))
	if got := b.attribute(b.queue, "VisibilityTimeout"); got != "9" {
		b.Errorf("visibility timeout is %q", got)
	}
	b.wantCode(set("VisibilityTimeout", "43201"), "InvalidAttributeValue")
	b.wantCode(set("MaximumMessageSize", "1048577"), "InvalidAttributeValue")
	b.wantCode(set("Colour", "red"), "InvalidAttributeName")
	b.wantCode(set("FifoQueue", "true"), "AWS.SimpleQueueService.UnsupportedOperation")
	b.wantCode(set("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:nowhere","maxReceiveCount":2}`), "InvalidParameterValue")
	b.wantCode(set("RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":1001}`, b.arn(b.dead))), "InvalidParameterValue")
	b.must(set("RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"20"}`, b.arn(b.dead))))
}

func checkEncryption(b *bench) {
	queue := b.create("sealed", map[string]string{"KmsMasterKeyId": "alias/key",
		"KmsDataKeyReusePeriodSeconds": "300"})
	if got := b.attribute(queue, "KmsMasterKeyId"); got != "alias/key" {
		b.Errorf("key is %q", got)
	}
	if got := b.attribute(queue, "SqsManagedSseEnabled"); got != "false" {
		b.Errorf("encrypted in a second way: %q", got)
	}
}

func checkSameName(b *bench) {
	name := "main"
	_, err := b.client.CreateQueue(b.Context(),
		&sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "77"}})
	b.wantCode(err, "QueueAlreadyExists")
	var exists *types.QueueNameExists
	if !errors.As(err, &exists) {
		b.Errorf("got %T", err)
	}
	if again := b.create("main", map[string]string{"VisibilityTimeout": "30"}); *again != *b.queue {
		b.Errorf("got %s, want %s", *again, *b.queue)
	}
	name = "a.fifo"
	_, err = b.client.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: &name})
	b.wantCode(err, "AWS.SimpleQueueService.UnsupportedOperation")
	name = "no spaces"
	_, err = b.client.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: &name})
	b.wantCode(err, "InvalidParameterValue")
}

func checkMissingQueue(b *bench) {
	_, err := b.client.GetQueueUrl(b.Context(),
		&sqs.GetQueueUrlInput{QueueName: aws.String("nowhere")})
	b.wantCode(err, "AWS.SimpleQueueService.NonExistentQueue")
	var missing *types.QueueDoesNotExist
	if !errors.As(err, &missing) {
		b.Errorf("got %T", err)
	}
	out, err := b.client.GetQueueUrl(b.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("main")})
	if err != nil || *out.QueueUrl != *b.queue {
		b.Errorf("got %v, %v; want %s", out, err, *b.queue)
	}
}

func checkTags(b *bench) {
	_, err := b.client.TagQueue(b.Context(),
		&sqs.TagQueueInput{QueueUrl: b.queue, Tags: map[string]string{"a": "1", "b": "2"}})
	b.must(err)
	_, err = b.client.UntagQueue(b.Context(),
		&sqs.UntagQueueInput{QueueUrl: b.queue, TagKeys: []string{"a"}})
	b.must(err)
	out, err := b.client.ListQueueTags(b.Context(), &sqs.ListQueueTagsInput{QueueUrl: b.queue})
	if err != nil || len(out.Tags) != 1 || out.Tags["b"] != "2" {
		b.Errorf("got %v, %v", out, err)
	}
}

func checkListQueues(b *bench) {
	var got []string
	pages := sqs.NewListQueuesPaginator(b.client, &sqs.ListQueuesInput{MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.Context())
		b.must(err)
		got = append(got, page.QueueUrls...)
	}
	if len(got) != 2 || got[0] != *b.dead || got[1] != *b.queue {
		b.Errorf("got %v", got)
	}
	out, err := b.client.ListQueues(b.Context(),
		&sqs.ListQueuesInput{QueueNamePrefix: aws.String("ma")})
	if err != nil || len(out.QueueUrls) != 1 {
		b.Errorf("got %v, %v", out, err)
	}
}

func checkPurge(b *bench) {
	purge := func() error {
		_, err := b.client.PurgeQueue(b.Context(), &sqs.PurgeQueueInput{QueueUrl: b.queue})
		return err
	}
	b.one()
	b.send("two")
	b.must(purge())
	b.clock.Advance(59 * time.Second)
	b.receive(0)
	b.wantCode(purge(), "AWS.SimpleQueueService.PurgeQueueInProgress")
	b.clock.Advance(time.Second)
	b.must(purge())
}

func checkDeleteQueue(b *bench) {
	_, err := b.client.DeleteQueue(b.Context(), &sqs.DeleteQueueInput{QueueUrl: b.queue})
	b.must(err)
	_, err = b.client.SendMessage(b.Context(),
		&sqs.SendMessageInput{QueueUrl: b.queue, MessageBody: aws.String("x")})
	b.wantCode(err, "AWS.SimpleQueueService.NonExistentQueue")
	_, err = b.client.CreateQueue(b.Context(), &sqs.CreateQueueInput{QueueName: aws.String("main")})
	b.wantCode(err, "AWS.SimpleQueueService.QueueDeletedRecently")
	b.clock.Advance(time.Minute)
	b.create("main", nil)
}
