# A playbook of this machine, run against the instance. Ansible must be installed here.
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

  provisioner "ansible" {
    playbook_file   = "${path.root}/files/playbook.yml"
    user            = "admin"
    extra_arguments = ["--extra-vars", "motd=Baked"]
  }
}
