# The source AMI by several filters, a comma between values, deprecated ones too.

source "amazon-ebs" "source-filters" {
  region        = "us-east-1"
  ami_name      = "group-source-filters"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters = {
      name                = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*,no/such/image"
      architecture        = "x86_64"
      root-device-type    = "ebs"
      virtualization-type = "hvm"
    }
    owners             = ["099720109477"]
    most_recent        = true
    include_deprecated = true
  }
}

build {
  sources = ["source.amazon-ebs.source-filters"]
}
