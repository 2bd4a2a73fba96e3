package main

import "github.com/aws/aws-sdk-go-v2/service/s3"

// openS3 makes the client. It makes no call.
func openS3(s settings, out output) *s3.Client {
	return s3.NewFromConfig(s.aws.config(out.tracer), func(o *s3.Options) {
		if endpoint := s.aws.endpoint("S3"); endpoint != nil {
			o.BaseEndpoint, o.UsePathStyle = endpoint, true // a stand-in has no name for each bucket
		}
	})
}
