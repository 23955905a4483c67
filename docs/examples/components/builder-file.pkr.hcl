# A file whose content the template computes; the post-processor writes its checksum.
source "file" "hosts" {
  target  = "hosts.json"
  content = jsonencode({ web = ["10.0.0.4", "10.0.0.5"] })
}

build {
  sources = ["source.file.hosts"]

  post-processor "checksum" {
    checksum_types = ["sha256"]
    output         = "hosts.{{.ChecksumType}}"
  }
}
