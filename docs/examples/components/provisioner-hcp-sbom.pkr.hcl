# The name that templates of HCP Packer have. The SBOM is written to this machine and uploaded nowhere.
source "amazon-ebs" "app" {
  region        = "us-east-1"
  instance_type = "t3.micro"
  ami_name      = "app-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ssh_username  = "admin"

  source_ami_filter {
    filters     = { name = "debian-12-amd64-*" }
    owners      = ["136693071363"]
    most_recent = true
  }
}

build {
  sources = ["source.amazon-ebs.app"]

  provisioner "hcp-sbom" {
    auto_generate = true
    destination   = "app.cdx.json"
    sbom_name     = "app-packages"
  }
}
