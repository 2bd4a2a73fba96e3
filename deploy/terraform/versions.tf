# Terraform from 1.6 on, or OpenTofu from 1.6 on. Nothing newer is used: rules that span several variables stand in
# choices.tf, because the validation of a variable could only speak of itself before Terraform 1.9.
terraform {
  required_version = ">= 1.6.0"

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
