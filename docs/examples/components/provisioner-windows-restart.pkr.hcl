# A feature that needs a restart; the bake goes on when Windows is up and its pending work is done.
source "amazon-ebs" "windows" {
  region         = "us-east-1"
  instance_type  = "t3.large"
  ami_name       = "windows-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  communicator   = "winrm"
  winrm_username = "Administrator"
  winrm_use_ssl  = true
  winrm_insecure = true
  user_data_file = "${path.root}/files/winrm.ps1"

  source_ami_filter {
    filters     = { name = "Windows_Server-2022-English-Full-Base-*" }
    owners      = ["amazon"]
    most_recent = true
  }
}

build {
  sources = ["source.amazon-ebs.windows"]

  provisioner "powershell" {
    inline = ["Install-WindowsFeature Web-Server"]
  }

  provisioner "windows-restart" {
    restart_timeout = "15m"
    check_registry  = true
  }
}
