# A source AMI that a data source found.

data "amazon-ami" "base" {
  region      = "us-east-1"
  filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
  owners      = ["099720109477"]
  most_recent = true
}

source "amazon-ebs" "data-sources" {
  region        = "us-east-1"
  ami_name      = "group-data-sources"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"
  source_ami    = data.amazon-ami.base.id
}

build {
  sources = ["source.amazon-ebs.data-sources"]
}
