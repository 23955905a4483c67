# A spot instance of one of several types.

source "amazon-ebs" "fleet" {
  region       = "us-east-1"
  ami_name     = "group-fleet"
  ssh_username = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  spot_price               = "auto"
  spot_instance_types      = ["m5.large", "m5a.large", "m4.large"]
  spot_allocation_strategy = "price-capacity-optimized"

  spot_tag {
    key   = "Kind"
    value = "request"
  }

  fleet_tag {
    key   = "Kind"
    value = "fleet"
  }
}

build {
  sources = ["source.amazon-ebs.fleet"]
}
