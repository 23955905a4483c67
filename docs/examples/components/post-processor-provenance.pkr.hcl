# Where the AMI comes from, as an in-toto statement with an SLSA predicate. With a key it is signed:
# signing_mode = "key", signer = "release.pem".
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

  post-processor "provenance" {
    template   = "app.pkr.hcl"
    source_uri = "git+https://example.com/images.git"
    output_dir = "attestations"
  }
}
