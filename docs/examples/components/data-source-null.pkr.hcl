# A value that is known only when data sources are read, as those of other data sources are: for trying out templates.
data "null" "region" {
  input = "us-east-1"
}

source "null" "any" {
  communicator = "none"
}

build {
  sources = ["source.null.any"]

  provisioner "shell-local" {
    inline = ["echo ${data.null.region.output}"]
  }
}
