# Lines as root with variables, a script of this machine, and a restart that the next provisioner waits for.
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

  provisioner "shell" {
    env             = { APP_VERSION = "1.2.3" }
    execute_command = "sudo env {{ .Vars }} sh -eu '{{ .Path }}'"
    inline = [
      "install -d /opt/app",
      "echo \"$APP_VERSION\" > /opt/app/VERSION",
    ]
  }

  provisioner "shell" {
    script      = "${path.root}/files/self-test.sh"
    max_retries = 2
    timeout     = "5m"
  }

  provisioner "shell" {
    inline            = ["sudo reboot"]
    expect_disconnect = true
  }

  provisioner "shell" {
    inline = ["cat /opt/app/VERSION"]
  }
}
