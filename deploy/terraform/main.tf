# pillarbox on AWS: API Gateway -> accept -> SQS -> deliver -> DynamoDB; what can't be delivered goes
# dead-letter queue -> deadletter -> S3. One file for each concern; README.md has the map.

resource "aws_resourcegroups_group" "all" {
  name        = var.name
  description = "Everything of ${var.name}, by its tag ${var.tag_key}"

  resource_query {
    query = jsonencode({
      ResourceTypeFilters = ["AWS::AllSupported"]
      TagFilters          = [{ Key = var.tag_key, Values = [var.name] }]
    })
  }
}
