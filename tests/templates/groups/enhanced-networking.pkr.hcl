# ENA and the Intel 82599 VF interface.

source "amazon-ebs" "enhanced-networking" {
  region        = "us-east-1"
  ami_name      = "group-enhanced-networking"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ena_support             = true
  sriov_support           = true
  ami_virtualization_type = "hvm"
}

build {
  sources = ["source.amazon-ebs.enhanced-networking"]
}
