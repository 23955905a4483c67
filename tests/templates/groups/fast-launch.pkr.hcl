# Fast launch at home and in the copy's region.

source "amazon-ebs" "fast-launch" {
  region        = "us-east-1"
  ami_name      = "group-fast-launch"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_regions = ["eu-west-1"]

  fast_launch {
    enable_fast_launch    = true
    max_parallel_launches = 6
    target_resource_count = 2

    region_launch_templates {
      region             = "eu-west-1"
      enable_fast_launch = false
    }
  }
}

build {
  sources = ["source.amazon-ebs.fast-launch"]
}
