# Two volumes: one stays, of the other a snapshot.

source "amazon-ebsvolume" "volumes" {
  region        = "us-east-1"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  run_volume_tags = { Stage = "filling" }

  ebs_volumes {
    device_name           = "/dev/xvdf"
    volume_size           = 2
    volume_type           = "gp3"
    delete_on_termination = false
    tags                  = { Name = "data" }
  }

  ebs_volumes {
    device_name           = "/dev/xvdg"
    volume_size           = 3
    delete_on_termination = true
    snapshot_volume       = true
    snapshot_description  = "saved"
    snapshot_users        = ["111122223333"]

    snapshot_tag {
      key   = "Name"
      value = "saved"
    }
  }
}

build {
  sources = ["source.amazon-ebsvolume.volumes"]
}
