# An instance on demand of the first of several types that there is.

source "amazon-ebs" "several-types" {
  region       = "us-east-1"
  ami_name     = "group-several-types"
  ssh_username = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  spot_instance_types = ["m5.large", "m4.large"]
}

build {
  sources = ["source.amazon-ebs.several-types"]
}
