//! From offsets in the text that is parsed to places in the text that the user wrote. They differ when the parsed text is a part of
//! a file, and when it is a JSON string whose escapes are resolved already.

use std::ops::Range;

use crate::source::{FileId, Place};

/// Where a parsed text lies in its file.
#[derive(Debug, Clone)]
pub(crate) enum Positions {
    /// It begins at a byte of the file and stands there as it is.
    From(FileId, usize),
    /// It stands at a place in another spelling (a JSON string with escapes): every part of it is placed there as a whole.
    Within(Place),
}

impl Positions {
    /// The place of a range of the parsed text.
    pub(crate) fn place(&self, range: Range<usize>) -> Place {
        match self {
            Self::From(file, offset) => Place::new(*file, offset + range.start..offset + range.end),
            Self::Within(place) => *place,
        }
    }
}
