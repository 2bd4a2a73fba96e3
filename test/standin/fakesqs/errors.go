package fakesqs

import (
	"net/http"

	"pillarbox/test/standin/awsjson"
)

// The errors that a test may want SQS to answer.
var (
	ErrRequestThrottled = &awsjson.Error{Code: "RequestThrottled", QueryCode: "RequestThrottled",
		Status: http.StatusForbidden, Message: "Request is throttled."}
	ErrThrottling = &awsjson.Error{Code: "ThrottlingException", QueryCode: "Throttling",
		Namespace: "com.amazon.coral.availability", Message: "Rate exceeded"}
	ErrKMSThrottled = &awsjson.Error{Code: "KmsThrottled", QueryCode: "KMS.ThrottlingException",
		Message: "Rate exceeded"}
	ErrKMSDisabled = &awsjson.Error{Code: "KmsDisabled", QueryCode: "KMS.DisabledException",
		Message: "The key is disabled."}
	ErrKMSAccessDenied = &awsjson.Error{Code: "KmsAccessDenied",
		QueryCode: "KMS.AccessDeniedException", Message: "The caller may not use the key."}
)

const coral = "com.amazon.coral.service"

var (
	errNoQueue = &awsjson.Error{Code: "QueueDoesNotExist",
		QueryCode: "AWS.SimpleQueueService.NonExistentQueue", Message: "The specified queue does not exist."}
	errQueueExists = &awsjson.Error{Code: "QueueNameExists", QueryCode: "QueueAlreadyExists",
		Message: "A queue already exists with the same name and a different value for an attribute"}
	errDeletedRecently = &awsjson.Error{Code: "QueueDeletedRecently",
		QueryCode: "AWS.SimpleQueueService.QueueDeletedRecently", Message: "You must wait 60 seconds after deleting a queue before you can create another with the same name."}
	errPurging = &awsjson.Error{Code: "PurgeQueueInProgress",
		QueryCode: "AWS.SimpleQueueService.PurgeQueueInProgress", Status: http.StatusForbidden, Message: "Only one PurgeQueue operation is allowed every 60 seconds."}
	errAttributeName = &awsjson.Error{Code: "InvalidAttributeName",
		QueryCode: "InvalidAttributeName"}
	errAttributeValue = &awsjson.Error{Code: "InvalidAttributeValue",
		QueryCode: "InvalidAttributeValue"}
	errParameter = &awsjson.Error{Code: "InvalidParameterValueException",
		QueryCode: "InvalidParameterValue", Namespace: coral}
	errMissing = &awsjson.Error{Code: "MissingRequiredParameterException",
		QueryCode: "MissingParameter", Namespace: coral}
	errContents = &awsjson.Error{Code: "InvalidMessageContents",
		QueryCode: "InvalidMessageContents", Message: "Invalid characters were found in the message body. Valid ones are #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD and #x10000 to #x10FFFF."}
	errHandle = &awsjson.Error{Code: "ReceiptHandleIsInvalid",
		QueryCode: "ReceiptHandleIsInvalid", Status: http.StatusNotFound}
	errNotInFlight = &awsjson.Error{Code: "MessageNotInflight",
		QueryCode: "AWS.SimpleQueueService.MessageNotInflight", Message: "The message is not in flight."}
	errOverLimit = &awsjson.Error{Code: "OverLimit", QueryCode: "OverLimit",
		Status: http.StatusForbidden, Message: "Too many messages are in flight."}
	errEmptyBatch = &awsjson.Error{Code: "EmptyBatchRequest",
		QueryCode: "AWS.SimpleQueueService.EmptyBatchRequest", Message: "There should be at least one entry in the request."}
	errManyEntries = &awsjson.Error{Code: "TooManyEntriesInBatchRequest",
		QueryCode: "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"}
	errEntryID = &awsjson.Error{Code: "InvalidBatchEntryId",
		QueryCode: "AWS.SimpleQueueService.InvalidBatchEntryId", Message: "A batch entry id can only contain alphanumeric characters, hyphens and underscores, and be at most 80 letters long."}
	errSameIDs = &awsjson.Error{Code: "BatchEntryIdsNotDistinct",
		QueryCode: "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"}
	errLongBatch = &awsjson.Error{Code: "BatchRequestTooLong",
		QueryCode: "AWS.SimpleQueueService.BatchRequestTooLong"}
	errUnsupported = &awsjson.Error{Code: "UnsupportedOperation",
		QueryCode: "AWS.SimpleQueueService.UnsupportedOperation"}
	errNoResource = &awsjson.Error{Code: "ResourceNotFoundException",
		QueryCode: "ResourceNotFoundException", Status: http.StatusNotFound, Message: "The resource that you specified for the SourceArn parameter doesn't exist."}
)

// invalid is how SQS words a value that is out of bounds.
func invalid(value any, parameter, reason string) *awsjson.Error {
	return errParameter.With("Value %v for parameter %s is invalid. Reason: %s", value, parameter,
		reason)
}

func missing(parameter string) *awsjson.Error {
	return errMissing.With("The request must contain the parameter %s.", parameter)
}
