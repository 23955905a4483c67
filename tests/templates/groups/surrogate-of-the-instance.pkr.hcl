# The same, made of the instance after its volumes were exchanged.

source "amazon-ebssurrogate" "surrogate-of-the-instance" {
  region        = "us-east-1"
  ami_name      = "group-surrogate-of-the-instance"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_virtualization_type = "hvm"
  use_create_image        = true
  skip_ami_run_tags       = true

  launch_block_device_mappings {
    device_name           = "/dev/xvdf"
    volume_size           = 8
    delete_on_termination = true
  }

  ami_root_device {
    source_device_name = "/dev/xvdf"
    device_name        = "/dev/sda1"
  }
}

build {
  sources = ["source.amazon-ebssurrogate.surrogate-of-the-instance"]
}
