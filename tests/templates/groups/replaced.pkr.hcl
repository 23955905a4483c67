# An AMI that takes the place of those with its name, in three regions.

source "amazon-ebs" "replaced" {
  region        = "us-east-1"
  ami_name      = "group-replaced"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_regions           = ["eu-west-1", "ap-south-1"]
  force_deregister      = true
  force_delete_snapshot = true
}

build {
  sources = ["source.amazon-ebs.replaced"]
}
