# The instance's metadata service, and the AMI's default for it.

source "amazon-ebs" "metadata" {
  region        = "us-east-1"
  ami_name      = "group-metadata"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  imds_support = "v2.0"

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "enabled"
  }
}

build {
  sources = ["source.amazon-ebs.metadata"]
}
