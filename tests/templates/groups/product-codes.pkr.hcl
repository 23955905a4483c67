# An AMI of the AWS Marketplace.

source "amazon-ebs" "product-codes" {
  region        = "us-east-1"
  ami_name      = "group-product-codes"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_product_codes = ["a1b2c3d4e5f6g7h8i9j0k1l2m"]
}

build {
  sources = ["source.amazon-ebs.product-codes"]
}
