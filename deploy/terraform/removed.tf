# What an account has once and stacks of before held. It is forgotten, and stays as it is: to destroy the setting would take
# the logs from every API of the account, and the provider of identities from every pipeline. deploy/terraform/account is
# their place now.

removed {
  from = aws_api_gateway_account.logs

  lifecycle {
    destroy = false
  }
}

removed {
  from = aws_iam_role.api_logs

  lifecycle {
    destroy = false
  }
}

removed {
  from = aws_iam_role_policy_attachment.api_logs

  lifecycle {
    destroy = false
  }
}

removed {
  from = aws_iam_openid_connect_provider.pipeline

  lifecycle {
    destroy = false
  }
}
