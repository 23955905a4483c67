# An AMI and its snapshots shared with accounts, an organization and a unit.

source "amazon-ebs" "sharing" {
  region        = "us-east-1"
  ami_name      = "group-sharing"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ami_description = "made of {{ .SourceAMIName }}"
  ami_users       = ["111122223333", "444455556666"]
  ami_org_arns    = ["arn:aws:organizations::111122223333:organization/o-1234567890"]
  ami_ou_arns     = ["arn:aws:organizations::111122223333:ou/o-1234567890/ou-1234-12345678"]
  snapshot_users  = ["111122223333"]
}

build {
  sources = ["source.amazon-ebs.sharing"]
}
