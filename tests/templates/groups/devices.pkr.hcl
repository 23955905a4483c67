# Four block devices, some that are not mapped, and no instance store.

source "amazon-ebs" "devices" {
  region        = "us-east-1"
  ami_name      = "group-devices"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  no_ephemeral = true

  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_size           = 20
    volume_type           = "gp3"
    iops                  = 4000
    throughput            = 200
    delete_on_termination = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/sdb"
    volume_size           = 10
    volume_type           = "io2"
    iops                  = 500
    encrypted             = true
    kms_key_id            = "alias/disks"
    delete_on_termination = true
  }

  launch_block_device_mappings {
    device_name = "/dev/sdc"
    no_device   = true
  }

  ami_block_device_mappings {
    device_name           = "/dev/sdd"
    volume_size           = 5
    volume_type           = "gp2"
    delete_on_termination = true
  }

  ami_block_device_mappings {
    device_name  = "/dev/sde"
    virtual_name = "ephemeral0"
  }
}

build {
  sources = ["source.amazon-ebs.devices"]
}
