# Without a machine: for steps that run on this one.
source "null" "release" {
  communicator = "none"
}

build {
  sources = ["source.null.release"]

  provisioner "shell-local" {
    inline = ["echo run ${build.PackerRunUUID}"]
  }
}
