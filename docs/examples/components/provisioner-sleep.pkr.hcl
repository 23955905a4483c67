# A fixed pause. To wait for something, a shell loop that asks for it is quicker and safer.
source "null" "any" {
  communicator = "none"
}

build {
  sources = ["source.null.any"]

  provisioner "sleep" {
    duration = "250ms"
  }
}
