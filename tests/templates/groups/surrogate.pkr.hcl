# An AMI for UEFI machines with a TPM, of a volume that the instance fills.

source "amazon-ebssurrogate" "surrogate" {
  region        = "us-east-1"
  ami_name      = "group-surrogate"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_virtualization_type = "hvm"
  ami_architecture        = "x86_64"
  boot_mode               = "uefi"
  tpm_support             = "v2.0"
  snapshot_description    = "root"
  snapshot_tags           = { Kind = "root" }

  launch_block_device_mappings {
    device_name           = "/dev/xvdf"
    volume_size           = 8
    volume_type           = "gp3"
    delete_on_termination = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvdg"
    volume_size           = 4
    delete_on_termination = true
    omit_from_artifact    = true
  }

  ami_root_device {
    source_device_name    = "/dev/xvdf"
    device_name           = "/dev/xvda"
    delete_on_termination = true
    volume_size           = 10
    volume_type           = "gp3"
  }
}

build {
  sources = ["source.amazon-ebssurrogate.surrogate"]
}
