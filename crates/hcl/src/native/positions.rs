//! From offsets in the text that is parsed to places in the text that the user wrote. They differ when the parsed text is a part of
//! a file, and when it is a JSON string whose escapes are resolved already.

use std::ops::Range;

use crate::source::{FileId, Place};

/// Where a parsed text lies in its file.
#[derive(Debug, Clone)]
pub(crate) struct Positions {
    file: FileId,
    offset: usize,
    /// For each escape before some offset of the parsed text: that offset, and how many bytes more the file has up to it.
    escapes: Vec<(usize, usize)>,
}

impl Positions {
    /// The parsed text begins at a byte of the file.
    pub(crate) fn new(file: FileId, offset: usize) -> Self {
        Self { file, offset, escapes: Vec::new() }
    }

    /// The same, and escapes were resolved: see the field.
    pub(crate) fn with_escapes(file: FileId, offset: usize, escapes: Vec<(usize, usize)>) -> Self {
        Self { file, offset, escapes }
    }

    /// The place of a range of the parsed text.
    pub(crate) fn place(&self, range: Range<usize>) -> Place {
        Place::new(self.file, self.in_file(range.start)..self.in_file(range.end))
    }

    fn in_file(&self, at: usize) -> usize {
        let before = self.escapes.partition_point(|(offset, _)| *offset <= at);
        let extra = before.checked_sub(1).and_then(|index| self.escapes.get(index)).map_or(0, |(_, extra)| *extra);
        self.offset + at + extra
    }
}
