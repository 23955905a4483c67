# A temporary instance profile with a policy of the template.

source "amazon-ebs" "profile" {
  region        = "us-east-1"
  ami_name      = "group-profile"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  temporary_iam_instance_profile_policy_document {
    Version = "2012-10-17"
    Statement {
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:ListBucket"]
      Resource = ["*"]
    }
    Statement {
      Effect   = "Deny"
      Action   = ["s3:DeleteObject"]
      Resource = ["*"]
    }
  }
}

build {
  sources = ["source.amazon-ebs.profile"]
}
