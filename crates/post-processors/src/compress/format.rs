//! Which format an archive's name asks for.

/// How files are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A zip archive.
    Zip,
    /// A tar archive, compressed or not.
    Tar(Option<Compression>),
    /// One file, compressed.
    Single(Compression),
}

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Bgzf,
    Bzip2,
    Xz,
    Lz4,
}

impl Format {
    /// Decides by the last two endings of `output`, `format` appended when it is given. What is not known is a gzipped tar.
    pub(super) fn of(output: &str, format: &str) -> Format {
        let name = if format.is_empty() {
            output.to_owned()
        } else {
            format!("{output}.{format}")
        };
        let mut endings = name.rsplit('.');
        let (last, before) = (endings.next().unwrap_or_default(), endings.next());
        let compression = match last {
            "tar" => return Format::Tar(None),
            "zip" => return Format::Zip,
            "gz" => Compression::Gzip,
            "bgzf" => Compression::Bgzf,
            "bz2" | "bzip2" => Compression::Bzip2,
            "xz" => Compression::Xz,
            "lz4" => Compression::Lz4,
            _ => return Format::Tar(Some(Compression::Gzip)),
        };
        if before == Some("tar") {
            Format::Tar(Some(compression))
        } else {
            Format::Single(compression)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide() {
        let cases = [
            ("o.tar.gz", "", Format::Tar(Some(Compression::Gzip))),
            ("o.gz", "", Format::Single(Compression::Gzip)),
            ("o.bin", "tar", Format::Tar(None)),
            ("o.bgzf", "", Format::Single(Compression::Bgzf)),
            ("o.tar.bzip2", "", Format::Tar(Some(Compression::Bzip2))),
            ("o.tar", "lz4", Format::Tar(Some(Compression::Lz4))),
            ("o.GZ", "", Format::Tar(Some(Compression::Gzip))),
            ("v1.2/o.zip", "", Format::Zip),
            ("o.foo", "", Format::Tar(Some(Compression::Gzip))),
            ("packer_f_file", "", Format::Tar(Some(Compression::Gzip))),
            ("o.tar.xz", "", Format::Tar(Some(Compression::Xz))),
        ];
        for (output, format, expected) in cases {
            assert_eq!(Format::of(output, format), expected, "{output} {format}");
        }
    }
}
