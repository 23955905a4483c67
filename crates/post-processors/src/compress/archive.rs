//! Writing an archive. A failed one is removed again.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bakelite_engine::error::Explain;

use super::bgzf::BgzfWriter;
use super::format::{Compression, Format};
use super::owners::Owners;

/// Why files could not be packed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error("failed to {operation} `{}`", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("failed to pack {count} files: the format is that of one compressed file")]
    Several { count: usize },
}

impl Explain for ArchiveError {
    fn help(&self) -> Option<Cow<'_, str>> {
        match self {
            ArchiveError::File { .. } => None,
            ArchiveError::Several { .. } => Some("end the name of `output` in `.tar.gz` or `.zip`".into()),
        }
    }

    fn option(&self) -> Option<Cow<'_, str>> {
        matches!(self, ArchiveError::Several { .. }).then_some("output".into())
    }
}

/// Packs the inputs, relative to `directory`, into `target`.
pub(super) fn pack(
    directory: &Path,
    inputs: &[String],
    target: &Path,
    format: Format,
    level: Option<u32>,
) -> Result<(), ArchiveError> {
    if let (Format::Single(_), count) = (format, inputs.len())
        && count != 1
    {
        return Err(ArchiveError::Several { count });
    }
    let on_target = |operation| {
        move |source| ArchiveError::File {
            operation,
            path: target.to_owned(),
            source,
        }
    };
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(on_target("create the directory of"))?;
    }
    let output = BufWriter::new(File::create(target).map_err(on_target("create"))?);
    let written = match format {
        Format::Zip => zip(directory, inputs, output, level),
        Format::Tar(None) => tar(directory, inputs, output).and_then(|mut output| output.flush()),
        Format::Tar(Some(compression)) => compressed(compression, level, output, |writer| {
            tar(directory, inputs, writer).map(|_| ())
        }),
        Format::Single(compression) => compressed(compression, level, output, |writer| copy(directory, inputs, writer)),
    };
    written.map_err(|source| {
        // Half an archive is of no use; the error that matters is the first one.
        let _ = std::fs::remove_file(target);
        on_target("pack files into")(source)
    })
}

/// A tar archive in the GNU format: base names, modes and owners kept, times zero, so that equal files give equal archives.
fn tar<W: Write>(directory: &Path, inputs: &[String], output: W) -> std::io::Result<W> {
    let mut archive = tar::Builder::new(output);
    let owners = Owners::of_this_machine();
    for input in inputs {
        let path = directory.join(input);
        let mut content = File::open(&path)?;
        let mut header = tar::Header::new_gnu();
        let metadata = content.metadata()?;
        if metadata.is_dir() {
            return Err(std::io::Error::new(
                std::io::ErrorKind::IsADirectory,
                format!("`{input}` is a directory; only files are packed"),
            ));
        }
        header.set_metadata(&metadata);
        // The kind of file has a place of its own in the header.
        header.set_mode(metadata.mode() & 0o7777);
        header.set_mtime(0);
        owners.name(&mut header, &metadata)?;
        archive.append_data(&mut header, path.file_name().unwrap_or_default(), &mut content)?;
    }
    archive.into_inner()
}

fn zip(
    directory: &Path,
    inputs: &[String],
    output: impl Write + std::io::Seek,
    level: Option<u32>,
) -> std::io::Result<()> {
    let mut archive = zip::ZipWriter::new(output);
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .compression_level(level.map(i64::from));
    for input in inputs {
        archive.start_file(input.as_str(), options)?;
        std::io::copy(&mut File::open(directory.join(input))?, &mut archive)?;
    }
    archive.finish()?.flush()
}

fn copy(directory: &Path, inputs: &[String], output: &mut dyn Write) -> std::io::Result<()> {
    for input in inputs {
        std::io::copy(&mut File::open(directory.join(input))?, output)?;
    }
    Ok(())
}

fn compressed(
    compression: Compression,
    level: Option<u32>,
    output: impl Write,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    match compression {
        Compression::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(output, gzip_level(level));
            fill(&mut writer)?;
            writer.finish()?.flush()
        }
        Compression::Bgzf => {
            let mut writer = BgzfWriter::new(output, gzip_level(level));
            fill(&mut writer)?;
            writer.finish()?.flush()
        }
        Compression::Bzip2 => {
            let mut writer = bzip2::write::BzEncoder::new(output, bzip2::Compression::new(level.unwrap_or(9)));
            fill(&mut writer)?;
            writer.finish()?.flush()
        }
        Compression::Xz => {
            let mut writer = lzma_rust2::XzWriter::new(output, lzma_rust2::XzOptions::with_preset(level.unwrap_or(6)))?;
            fill(&mut writer)?;
            writer.finish()?.flush()
        }
        Compression::Lz4 => {
            let mut writer = lz4_flex::frame::FrameEncoder::new(output);
            fill(&mut writer)?;
            writer.finish().map_err(std::io::Error::other)?.flush()
        }
    }
}

fn gzip_level(level: Option<u32>) -> flate2::Compression {
    level.map_or_else(flate2::Compression::default, flate2::Compression::new)
}
