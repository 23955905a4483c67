# Tags of everything, from the source AMI and from blocks.

source "amazon-ebs" "tags" {
  region        = "us-east-1"
  ami_name      = "group-tags"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  run_tags        = { Stage = "{{ .BuildRegion }}" }
  run_volume_tags = { Stage = "disk" }
  tags            = { Base = "{{ .SourceAMI }}", Made = "{{ isotime `2006-01-02` }}" }
  snapshot_tags   = { Base = "{{ .SourceAMIName }}" }

  run_tag {
    key   = "Name"
    value = "baking"
  }

  run_volume_tag {
    name  = "Name"
    value = "root"
  }

  dynamic "tag" {
    for_each = { Owner = "web", Cost = "7" }
    content {
      key   = tag.key
      value = tag.value
    }
  }

  snapshot_tag {
    key   = "Owner"
    value = "{{ .SourceAMIOwner }}"
  }

  skip_ami_run_tags = true
}

build {
  sources = ["source.amazon-ebs.tags"]
}
