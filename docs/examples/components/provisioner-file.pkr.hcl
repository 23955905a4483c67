# A directory and a generated file go to the instance, and a file comes back.
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

  provisioner "file" {
    source      = "${path.root}/files"
    destination = "/tmp"
  }

  provisioner "file" {
    content     = jsonencode({ version = "1.2.3" })
    destination = "/tmp/version.json"
  }

  provisioner "file" {
    direction   = "download"
    source      = "/etc/os-release"
    destination = "os-release.txt"
  }
}
