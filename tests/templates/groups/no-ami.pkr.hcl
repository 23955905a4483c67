# Provisioned and thrown away.

source "amazon-ebs" "no-ami" {
  region        = "us-east-1"
  ami_name      = "group-no-ami"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  skip_create_ami            = true
  skip_profile_validation    = true
  skip_credential_validation = true
}

build {
  sources = ["source.amazon-ebs.no-ami"]
}
