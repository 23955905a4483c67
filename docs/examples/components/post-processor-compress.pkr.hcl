# The file as a .tar.gz; the original is kept beside it.
source "file" "notes" {
  target  = "notes.txt"
  content = "one line of notes\n"
}

build {
  sources = ["source.file.notes"]

  post-processor "compress" {
    output              = "notes.tar.gz"
    compression_level   = 9
    keep_input_artifact = true
  }
}
