variable "endpoint" { type = string }

source "amazon-ebs" "peer" {
  region                 = "us-east-1"
  custom_endpoint_ec2    = var.endpoint
  skip_region_validation = true
  ami_name               = "by-packer-1.6.6"
  instance_type          = "t3.micro"
  ssh_username           = "admin"
  source_ami_filter {
    filters     = { name = "debian-12-amd64-*" }
    owners      = ["136693071363"]
    most_recent = true
  }
  tags = { Name = "peer" }
}

build {
  sources = ["source.amazon-ebs.peer"]
  provisioner "shell" {
    inline = ["echo made by packer | sudo tee /opt/note"]
  }
}
