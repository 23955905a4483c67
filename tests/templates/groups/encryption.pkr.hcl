# An encrypted AMI of an unencrypted source AMI.

source "amazon-ebs" "encryption" {
  region        = "us-east-1"
  ami_name      = "group-encryption"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  encrypt_boot = true
  kms_key_id   = "alias/home"
}

build {
  sources = ["source.amazon-ebs.encryption"]
}
