# One entry for each bake; `jq -r '.builds[-1].artifact_id'` prints the latest artifact.
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

  post-processor "manifest" {
    output      = "packer-manifest.json"
    strip_path  = true
    custom_data = { source = build.SourceAMI }
  }
}
