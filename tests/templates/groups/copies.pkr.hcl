# Copies to two regions, each with a key of its own.

source "amazon-ebs" "copies" {
  region        = "us-east-1"
  ami_name      = "group-copies"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_regions                    = ["us-east-1", "eu-west-1", "ap-south-1"]
  snapshot_copy_duration_minutes = 30
  encrypt_boot                   = true
  region_kms_key_ids = {
    "us-east-1"  = "alias/home"
    "eu-west-1"  = "alias/west"
    "ap-south-1" = "alias/south"
  }
}

build {
  sources = ["source.amazon-ebs.copies"]
}
