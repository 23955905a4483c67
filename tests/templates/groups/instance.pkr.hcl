# What the instance is and may do.

source "amazon-ebs" "instance" {
  region        = "us-east-1"
  ami_name      = "group-instance"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ebs_optimized                   = true
  enable_nitro_enclave            = true
  shutdown_behavior               = "terminate"
  availability_zone               = "us-east-1b"
  capacity_reservation_preference = "none"
  tenancy                         = "dedicated"
  user_data                       = <<-EOT
    #!/bin/sh
    true
  EOT

  license_specifications {
    license_configuration_request {
      license_configuration_arn = "arn:aws:license-manager:us-east-1:123456789012:license-configuration:lic-0123456789abcdef0123456789abcdef"
    }
  }
}

build {
  sources = ["source.amazon-ebs.instance"]
}
