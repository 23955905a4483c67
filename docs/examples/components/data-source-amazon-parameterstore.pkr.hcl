# The newest Amazon Linux 2023, by the parameter that AWS keeps for it.
data "amazon-parameterstore" "linux" {
  region = "us-east-1"
  name   = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
}

source "amazon-ebs" "app" {
  region        = "us-east-1"
  instance_type = "t3.micro"
  ami_name      = "app-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ssh_username  = "ec2-user"
  source_ami    = data.amazon-parameterstore.linux.value
}

build {
  sources = ["source.amazon-ebs.app"]
}
