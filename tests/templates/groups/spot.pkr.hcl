# A spot instance at a price.

source "amazon-ebs" "spot" {
  region        = "us-east-1"
  ami_name      = "group-spot"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  spot_price     = "0.05"
  user_data_file = "${path.root}/data"

  spot_tags  = { Kind = "request" }
  fleet_tags = { Kind = "fleet" }
  run_tags   = { Kind = "instance" }
}

build {
  sources = ["source.amazon-ebs.spot"]
}
