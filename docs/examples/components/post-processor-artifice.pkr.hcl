# The artifact becomes the file that a provisioner made; what follows in the chain gets that file.
source "null" "bundle" {
  communicator = "none"
}

build {
  sources = ["source.null.bundle"]

  provisioner "shell-local" {
    inline = ["mkdir -p out", "echo bundled > out/bundle.txt"]
  }

  post-processors {
    post-processor "artifice" {
      files = ["out/bundle.txt"]
    }
    post-processor "checksum" {
      checksum_types = ["sha256"]
      output         = "out/bundle.{{.ChecksumType}}"
    }
  }
}
