# SSH through a Session Manager session.

source "amazon-ebs" "session-manager" {
  region        = "us-east-1"
  ami_name      = "group-session-manager"
  instance_type = "m5.large"
  ssh_username  = "ubuntu"

  source_ami_filter {
    filters     = { name = "ubuntu/images/*ubuntu-jammy-22.04-amd64-server-*" }
    owners      = ["099720109477"]
    most_recent = true
  }

  ssh_interface        = "session_manager"
  iam_instance_profile = "ssm"
  pause_before_ssm     = "10ms"
}

build {
  sources = ["source.amazon-ebs.session-manager"]
}
