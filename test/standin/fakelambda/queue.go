package fakelambda

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"time"
)

// HTTPQueue is a Source at an endpoint that speaks SQS's JSON protocol and does not check
// signatures.
type HTTPQueue struct {
	Endpoint string
	URL      string // of the queue
}

// ARN implements Source.
func (q *HTTPQueue) ARN() string {
	return "arn:aws:sqs:" + region + ":" + account + ":" + path.Base(q.URL)
}

// Receive implements Source.
func (q *HTTPQueue) Receive(ctx context.Context, n int, wait time.Duration) ([]Message, error) {
	var out struct {
		Messages []struct {
			MessageID     string `json:"MessageId"`
			ReceiptHandle string
			Body          string
			BodySum       string `json:"MD5OfBody"`
			Attributes    map[string]string
		}
	}
	err := q.call(ctx, "ReceiveMessage", map[string]any{
		"QueueUrl": q.URL, "MaxNumberOfMessages": n, "WaitTimeSeconds": int(
			wait.Seconds()), "MessageSystemAttributeNames": []string{"All"},
	}, &out)
	messages := make([]Message, len(out.Messages))
	for i, m := range out.Messages {
		messages[i] = Message{ID: m.MessageID, ReceiptHandle: m.ReceiptHandle, Body: m.Body,
			BodySum: m.BodySum, Attributes: m.Attributes}
	}
	return messages, err
}

// Delete implements Source.
func (q *HTTPQueue) Delete(ctx context.Context, handles []string) error {
	for _, handle := range handles {
		if err := q.call(ctx, "DeleteMessage",
			map[string]any{"QueueUrl": q.URL, "ReceiptHandle": handle}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (q *HTTPQueue) call(ctx context.Context, operation string, in map[string]any, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, q.Endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-amz-json-1.0")
	request.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+
		"mapping/20260101/"+region+"/sqs/aws4_request") // that of nobody in particular
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %d %s", operation, response.StatusCode, text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}
