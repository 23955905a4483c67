# A temporary Ed25519 key with a name, which does not stay in the AMI.

source "amazon-ebs" "keys" {
  region        = "us-east-1"
  ami_name      = "group-keys"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  temporary_key_pair_name   = "group-keys"
  temporary_key_pair_type   = "ed25519"
  ssh_clear_authorized_keys = true
  ssh_timeout               = "2m"
  ssh_handshake_attempts    = 20
  ssh_interface             = "public_ip"
}

build {
  sources = ["source.amazon-ebs.keys"]
}
