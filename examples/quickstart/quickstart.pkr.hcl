# The smallest complete bake: an image with one file in it. It needs no AWS account on the local cloud:
#
#   bakelite build -local examples/quickstart
#
# and, without -local, on AWS.

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1.3"
    }
  }
}

variable "greeting" {
  type        = string
  default     = "Hello from bakelite"
  description = "The text in the image."
}

locals {
  stamp = formatdate("YYYYMMDDhhmmss", timestamp())
}

source "amazon-ebs" "quickstart" {
  region        = "us-east-1"
  instance_type = "t3.micro"
  ami_name      = "quickstart-${local.stamp}"
  ssh_username  = "admin"

  source_ami_filter {
    filters = {
      name                = "debian-12-amd64-*"
      virtualization-type = "hvm"
    }
    owners      = ["136693071363"]
    most_recent = true
  }

  # On the local cloud: start from this machine's own system, so that nothing has to be downloaded. On AWS it is a tag like any other.
  run_tags = {
    "bakelite:userland" = "host"
  }

  tags = {
    Name = "quickstart"
    Base = "{{ .SourceAMIName }}"
  }
}

build {
  sources = ["source.amazon-ebs.quickstart"]

  provisioner "file" {
    content     = "${var.greeting}\n"
    destination = "/tmp/greeting"
  }

  provisioner "shell" {
    inline = [
      "sudo install -D -m 644 /tmp/greeting /opt/quickstart/greeting",
      "rm /tmp/greeting",
      "cat /opt/quickstart/greeting",
    ]
  }

  post-processor "manifest" {
    output     = "packer-manifest.json"
    strip_path = true
  }
}
