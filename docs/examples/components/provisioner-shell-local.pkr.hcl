# A step on this machine between two on the instance; it knows where the instance is.
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

  provisioner "shell-local" {
    env    = { INSTANCE = build.ID }
    inline = ["echo \"$INSTANCE answers at ${build.Host}\" > instance.txt"]
  }
}
