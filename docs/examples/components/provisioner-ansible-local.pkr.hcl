# A playbook that the instance runs on itself. Ansible must be installed there.
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
    inline = ["sudo apt-get update", "sudo apt-get install -y ansible"]
  }

  provisioner "ansible-local" {
    playbook_file           = "${path.root}/files/playbook.yml"
    extra_arguments         = ["--extra-vars", "motd=Baked"]
    clean_staging_directory = true
  }
}
