# How AWS is reached: attempts, waits, a role.

source "amazon-ebs" "access" {
  region        = "us-east-1"
  ami_name      = "group-access"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  max_retries                   = 20
  skip_metadata_api_check       = true
  decode_authorization_messages = true

  assume_role {
    role_arn            = "arn:aws:iam::123456789012:role/baker"
    session_name        = "bake"
    duration_seconds    = 3600
    external_id         = "outside"
    tags                = { Project = "images" }
    transitive_tag_keys = ["Project"]
  }

  aws_polling {
    delay_seconds = 2
    max_attempts  = 150
  }
}

build {
  sources = ["source.amazon-ebs.access"]
}
