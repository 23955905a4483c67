# An AMI of Debian 12 with a larger root volume, tags from the source AMI, and launches with IMDSv2 only.
source "amazon-ebs" "web" {
  region        = "us-east-1"
  instance_type = "t3.small"
  ami_name      = "web-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ssh_username  = "admin"
  imds_support  = "v2.0"

  source_ami_filter {
    filters = {
      name                = "debian-12-amd64-*"
      virtualization-type = "hvm"
    }
    owners      = ["136693071363"]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 20
    volume_type           = "gp3"
    delete_on_termination = true
  }

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  tags = {
    Name = "web"
    Base = "{{ .SourceAMIName }}"
  }
  run_tags = { Name = "baking web" }
}

build {
  sources = ["source.amazon-ebs.web"]

  provisioner "shell" {
    inline = ["echo baked from ${build.SourceAMIName} | sudo tee /etc/motd"]
  }
}
