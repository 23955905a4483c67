# CPU credits of a burstable type.

source "amazon-ebs" "burstable" {
  region       = "us-east-1"
  ami_name     = "group-burstable"
  ssh_username = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }
  instance_type            = "t3.small"
  enable_unlimited_credits = true
}

build {
  sources = ["source.amazon-ebs.burstable"]
}
