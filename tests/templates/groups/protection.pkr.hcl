# An AMI that is deprecated one day and protected until then.

source "amazon-ebs" "protection" {
  region        = "us-east-1"
  ami_name      = "group-protection"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  deprecate_at = timeadd(timestamp(), "8760h")

  deregistration_protection {
    enabled       = true
    with_cooldown = true
  }
}

build {
  sources = ["source.amazon-ebs.protection"]
}
