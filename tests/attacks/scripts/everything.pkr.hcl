variable "plain" {
  type      = string
  sensitive = true
}
variable "special" {
  type      = string
  sensitive = true
}
variable "many" {
  type      = string
  sensitive = true
  default   = "Gamma03line1\nGamma03line2\nGamma03line3"
}
variable "environment" {
  type      = string
  sensitive = true
}
variable "from_file" {
  type      = string
  sensitive = true
}
variable "number" {
  type      = number
  sensitive = true
  default   = 867530904211
}
variable "list" {
  type      = list(string)
  sensitive = true
  default   = ["Delta05one", "Delta05two"]
}
variable "object" {
  type      = object({ u = string, n = number })
  sensitive = true
  default   = { u = "EpsilonUser06", n = 550066001122 }
}
local "secret" {
  expression = "ZetaLocal07-and-more"
  sensitive  = true
}
local "backwards" {
  expression = strrev(var.plain)
}
locals {
  base64   = base64encode(var.plain)
  special  = base64encode(var.special)
  capitals = upper(var.plain)
  url      = urlencode(var.special)
  json     = jsonencode({ a = var.special, b = var.plain, n = var.number })
  yaml     = yamlencode({ a = var.special })
  around   = "before-${var.plain}-after"
  replaced = replace(var.plain, "Secret", "S-e-c-r-e-t")
  number   = "${var.number}"
  elements = join(",", [for s in var.list : upper(s)])
  rendered = templatefile("${path.root}/rendered.tpl", { s = var.plain })
}
source "amazon-ebs" "x" {
  region          = "us-east-1"
  instance_type   = "t3.micro"
  ssh_username    = "admin"
  ami_name        = "secrets-{{timestamp}}"
  ami_description = "made with ${var.plain}"
  user_data       = "#!/bin/sh\necho ${var.plain}\n"
  force_deregister = true
  tags            = { T = var.plain, U = local.base64, V = var.special }
  run_tags        = { T = var.plain, N = local.number }
  source_ami_filter {
    filters     = { name = "debian-12-amd64-*" }
    owners      = ["136693071363"]
    most_recent = true
  }
}
build {
  sources = ["source.amazon-ebs.x"]
  provisioner "shell" {
    environment_vars = ["A=${var.plain}", "B=${var.special}", "C=${local.base64}", "D=${var.environment}", "E=${var.from_file}"]
    inline = [
      "echo $A $C $D $E; printf '%s\\n' \"$B\"; printf %s \"$A\" | base64; printf ' %s' \"$A\" | base64",
      "printf '%s\\n' '${replace(local.json, "'", "")}'",
      "echo ${local.capitals} ${local.url} ${local.around} ${local.replaced} ${local.number} ${local.elements} ${local.backwards} ${local.secret}",
      "echo ${replace(local.rendered, "/", "-")} ${local.special}",
      "printf '%s\\n' '${var.many}'",
      "echo ${var.object.u} ${var.object.n}",
      "printf '%s' '${var.many}' | tr '\\n' ' '; echo",
      "echo before${var.list[0]}after 1>&2",
      "printf AlphaSec; sleep 0.2; printf 'ret01xyz\\n'",
    ]
  }
  provisioner "file" {
    content     = "with ${var.special}"
    destination = "/tmp/content"
  }
  provisioner "shell-local" {
    environment_vars = ["A=${var.plain}", "B=${var.special}"]
    inline           = ["echo $A; printf '%s\\n' \"$B\"; cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' '\\n' > command-lines", "mkdir -p journals; cp \"$XDG_STATE_HOME\"/bakelite/journal/* journals/"]
  }
  provisioner "shell-local" {
    command = "echo ${var.plain}; test ! -e FAIL"
  }
  post-processor "manifest" {
    output = "manifest.json"
  }
  post-processor "shell-local" {
    environment_vars = ["A=${var.plain}"]
    inline           = ["echo after $A"]
  }
  post-processor "provenance" {
    user_variables = { a = var.plain, b = "x${local.base64}", c = var.special, d = "${var.number}" }
    signing_mode   = "none"
  }
}
