# A Windows instance whose password EC2 generates.

source "amazon-ebs" "winrm" {
  region        = "us-east-1"
  ami_name      = "group-winrm"
  instance_type = "m5.large"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  communicator             = "winrm"
  winrm_username           = "Administrator"
  winrm_use_ssl            = true
  winrm_insecure           = true
  winrm_timeout            = "20m"
  windows_password_timeout = "15m"
  disable_stop_instance    = true
}

build {
  sources = ["source.amazon-ebs.winrm"]
}
