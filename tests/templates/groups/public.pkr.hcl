# An AMI and its snapshots for everybody.

source "amazon-ebs" "public" {
  region        = "us-east-1"
  ami_name      = "group-public"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_groups      = ["all"]
  snapshot_groups = ["all"]
}

build {
  sources = ["source.amazon-ebs.public"]
}
