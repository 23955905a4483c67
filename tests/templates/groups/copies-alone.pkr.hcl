# Copies only: no AMI stays in the region of the build.

source "amazon-ebs" "copies-alone" {
  region        = "us-east-1"
  ami_name      = "group-copies-alone"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_regions            = ["eu-west-1"]
  skip_save_build_region = true
  skip_region_validation = true
}

build {
  sources = ["source.amazon-ebs.copies-alone"]
}
