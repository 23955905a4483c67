# An AMI of a volume that the instance fills: a root file system made from nothing, for UEFI machines with a TPM.
source "amazon-ebssurrogate" "minimal" {
  region                  = "us-east-1"
  instance_type           = "t3.small"
  ami_name                = "minimal-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ami_virtualization_type = "hvm"
  boot_mode               = "uefi"
  tpm_support             = "v2.0"
  ssh_username            = "admin"

  source_ami_filter {
    filters     = { name = "debian-12-amd64-*" }
    owners      = ["136693071363"]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvdf"
    volume_size           = 4
    volume_type           = "gp3"
    delete_on_termination = true
  }

  ami_root_device {
    source_device_name    = "/dev/xvdf"
    device_name           = "/dev/xvda"
    delete_on_termination = true
    volume_type           = "gp3"
  }
}

build {
  sources = ["source.amazon-ebssurrogate.minimal"]

  provisioner "shell" {
    inline = [
      "sudo mkfs.ext4 -L root /dev/xvdf",
      "sudo mount /dev/xvdf /mnt",
      "sudo debootstrap bookworm /mnt",
      "sudo umount /mnt",
    ]
  }
}
