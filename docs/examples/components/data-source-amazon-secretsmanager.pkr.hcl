# One member of a secret that is a JSON object, for a provisioner.
data "amazon-secretsmanager" "registry" {
  region = "us-east-1"
  name   = "images/registry"
  key    = "password"
}

source "null" "host" {
  communicator = "none"
}

build {
  sources = ["source.null.host"]

  provisioner "shell-local" {
    environment_vars = ["PASSWORD=${data.amazon-secretsmanager.registry.value}"]
    inline           = ["test -n \"$PASSWORD\""]
  }
}
