# A volume with a data set and a snapshot of it. No AMI is made.
source "amazon-ebsvolume" "data" {
  region        = "us-east-1"
  instance_type = "t3.small"
  ssh_username  = "admin"

  source_ami_filter {
    filters     = { name = "debian-12-amd64-*" }
    owners      = ["136693071363"]
    most_recent = true
  }

  ebs_volumes {
    device_name           = "/dev/xvdf"
    volume_size           = 10
    volume_type           = "gp3"
    delete_on_termination = true
    snapshot_volume       = true
    tags                  = { Name = "data" }
  }
}

build {
  sources = ["source.amazon-ebsvolume.data"]

  provisioner "shell" {
    inline = [
      "sudo mkfs.ext4 -L data /dev/xvdf",
      "sudo mount /dev/xvdf /mnt",
      "echo a data set | sudo tee /mnt/data",
      "sudo umount /mnt",
    ]
  }
}
