# The newest Debian 12, and a source that uses what was found.
data "amazon-ami" "debian" {
  region      = "us-east-1"
  filters     = { name = "debian-12-amd64-*" }
  owners      = ["136693071363"]
  most_recent = true
}

source "amazon-ebs" "app" {
  region        = "us-east-1"
  instance_type = "t3.micro"
  ami_name      = "app-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ssh_username  = "admin"
  source_ami    = data.amazon-ami.debian.id
  tags          = { Base = data.amazon-ami.debian.name }
}

build {
  sources = ["source.amazon-ebs.app"]
}
