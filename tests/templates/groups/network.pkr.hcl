# VPC, subnet and security group by filters, and a public address.

source "amazon-ebs" "network" {
  region        = "us-east-1"
  ami_name      = "group-network"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  associate_public_ip_address = true

  vpc_filter {
    filters = { is-default = "true" }
  }

  subnet_filter {
    most_free = true
    filter {
      name  = "default-for-az"
      value = "true"
    }
  }

  temporary_security_group_source_cidrs = ["127.0.0.0/8", "2001:db8::/32"]
}

build {
  sources = ["source.amazon-ebs.network"]
}
