# The latest release, as a server reports it.
variable "releases" {
  type    = string
  default = "https://releases.example.com/app.json"
}

data "http" "release" {
  url             = var.releases
  request_headers = { Accept = "application/json" }
}

locals {
  release = jsondecode(data.http.release.body)
}

source "null" "any" {
  communicator = "none"
}

build {
  sources = ["source.null.any"]

  provisioner "shell-local" {
    inline = ["echo version ${local.release.version}"]
  }
}
