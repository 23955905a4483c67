# Two sums of one file.
source "file" "notes" {
  target  = "notes.txt"
  content = "one line of notes\n"
}

build {
  sources = ["source.file.notes"]

  post-processor "checksum" {
    checksum_types = ["sha256", "sha512"]
    output         = "notes.{{.ChecksumType}}"
  }
}
