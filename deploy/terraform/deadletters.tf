# The bucket of dead letters, one JSON object for each event, and of bodies that are too large for a message of the queue
# or an item of the table. Nothing in it expires by itself: items of the table refer to their bodies for as long as they
# are there.

locals {
  dead_letter_prefix = "dead-letters/"
  bodies_prefix      = "bodies/"
}

resource "aws_s3_bucket" "dead_letters" {
  #checkov:skip=CKV_AWS_18:who reads letters is told by CloudTrail, which is the account's
  #checkov:skip=CKV_AWS_144:a second region is a choice for the table (replica_regions); letters are versioned in one
  #checkov:skip=CKV2_AWS_62:nobody waits for a letter; an alarm tells of it
  bucket        = "${var.name}-dead-letters-${local.account}-${local.region}"
  force_destroy = !var.protect
}

resource "aws_s3_bucket_ownership_controls" "dead_letters" {
  bucket = aws_s3_bucket.dead_letters.bucket
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "dead_letters" {
  bucket                  = aws_s3_bucket.dead_letters.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "dead_letters" {
  bucket = aws_s3_bucket.dead_letters.bucket
  versioning_configuration {
    status = "Enabled"
  }
}

# The bucket key makes one request to KMS do for many objects.
resource "aws_s3_bucket_server_side_encryption_configuration" "dead_letters" {
  bucket = aws_s3_bucket.dead_letters.bucket
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.main.arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "dead_letters" {
  depends_on = [aws_s3_bucket_versioning.dead_letters]

  bucket = aws_s3_bucket.dead_letters.bucket

  rule {
    id     = "cheaper-when-old"
    status = "Enabled"
    filter {
      prefix = local.dead_letter_prefix
    }
    transition {
      days          = var.dead_letter_infrequent_days
      storage_class = "STANDARD_IA"
    }
  }

  rule {
    id     = "what-was-overwritten-or-deleted"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.dead_letter_noncurrent_days
    }
    expiration {
      expired_object_delete_marker = true
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
}

resource "aws_s3_bucket_policy" "dead_letters" {
  depends_on = [aws_s3_bucket_public_access_block.dead_letters]

  bucket = aws_s3_bucket.dead_letters.bucket
  policy = data.aws_iam_policy_document.dead_letters_bucket.json
}

data "aws_iam_policy_document" "dead_letters_bucket" {
  statement {
    sid       = "OnlyOverTLS"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.dead_letters.arn, "${aws_s3_bucket.dead_letters.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  # A writer that says nothing of encryption gets the bucket's default, which is the key. One that asks for anything
  # else is refused.
  statement {
    sid       = "OnlyWithTheKey"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.dead_letters.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "StringNotEqualsIfExists"
      variable = "s3:x-amz-server-side-encryption-aws-kms-key-id"
      values   = [aws_kms_key.main.arn]
    }
    condition {
      test     = "Null"
      variable = "s3:x-amz-server-side-encryption"
      values   = ["false"]
    }
  }
}
