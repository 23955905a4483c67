# Lines for PowerShell, and a script with the highest privileges as the system's own account.
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
    env    = { SITE = "intranet" }
    inline = ["New-Item -ItemType Directory -Force C:/Sites/$env:SITE"]
  }

  provisioner "powershell" {
    elevated_user     = "SYSTEM"
    elevated_password = ""
    inline            = ["Install-WindowsFeature Web-Server"]
  }
}
