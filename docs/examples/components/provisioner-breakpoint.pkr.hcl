# A stop that is enabled from the command line: bakelite build -var inspect=true
variable "inspect" {
  type    = bool
  default = false
}

source "null" "any" {
  communicator = "none"
}

build {
  sources = ["source.null.any"]

  provisioner "breakpoint" {
    disable = !var.inspect
    note    = "everything is installed"
  }
}
