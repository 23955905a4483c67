# An application's golden image: a directory is transferred, installed under its own user, and tests itself.
#
#   bakelite build -local -var app_version=1.2.3 examples/web-server

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = "~> 1.3"
    }
  }
}

variable "app_version" {
  type        = string
  default     = "0.1.0"
  description = "Which version is baked."

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.app_version))
    error_message = "The app_version must look like 1.2.3."
  }
}

locals {
  stamp = formatdate("YYYYMMDDhhmmss", timestamp())
  tags = {
    Name       = "web-server-${var.app_version}"
    AppVersion = var.app_version
    ManagedBy  = "bakelite"
  }
}

source "amazon-ebs" "web" {
  region        = "us-east-1"
  instance_type = "t3.small"
  ami_name      = "web-server-${var.app_version}-${local.stamp}"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters = {
      name                = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners      = ["099720109477"]
    most_recent = true
  }

  tags     = merge(local.tags, { Base = "{{ .SourceAMIName }}" })
  run_tags = local.tags
}

build {
  name    = "web"
  sources = ["source.amazon-ebs.web"]

  provisioner "file" {
    source      = "${path.root}/app"
    destination = "/tmp/app"
  }

  provisioner "shell" {
    environment_vars = ["APP_VERSION=${var.app_version}"]
    inline = [
      "id app >/dev/null 2>&1 || sudo useradd --system --home-dir /opt/app app",
      "sudo mkdir -p /opt/app/bin",
      "sudo cp /tmp/app/server.sh /opt/app/bin/server",
      "sudo chmod 755 /opt/app/bin/server",
      "echo \"$APP_VERSION\" | sudo tee /opt/app/VERSION",
      "sudo chown -R app /opt/app",
      "rm -r /tmp/app",
    ]
  }

  provisioner "shell" {
    inline      = ["sudo -u app /opt/app/bin/server --self-test"]
    max_retries = 2
  }

  post-processor "manifest" {
    output      = "packer-manifest.json"
    strip_path  = true
    custom_data = { version = var.app_version }
  }
}
