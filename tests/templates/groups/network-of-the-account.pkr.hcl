# A security group of the account, any of several subnets.

source "amazon-ebs" "network-of-the-account" {
  region        = "us-east-1"
  ami_name      = "group-network-of-the-account"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  security_group_filter {
    filters = { group-name = "default" }
  }

  subnet_filter {
    filters = { default-for-az = "true" }
    random  = true
  }
}

build {
  sources = ["source.amazon-ebs.network-of-the-account"]
}
