# Terraform from 1.10 on, or OpenTofu from 1.10 on: removed.tf needs 1.7 of the one and 1.10 of the other. Rules that span
# several variables stand in choices.tf, together.
terraform {
  required_version = ">= 1.10.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25.0, < 7.0.0"
    }
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}
