//! Texts kept for diagnostics, and places in them. A place is small and copyable, so that every node of the tree and every
//! complaint can carry one; line and column are computed only when somebody looks.

use std::fmt;
use std::sync::Arc;

/// Which text of a [`SourceMap`] a place lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// A byte range in one text of a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte; equal to `start` for an empty range.
    pub end: u32,
}

impl Place {
    /// The bytes `start..end` of `file`. A range beyond 4 GiB is cut off at its limit.
    pub fn new(file: FileId, range: std::ops::Range<usize>) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            file,
            start: clamp(range.start),
            end: clamp(range.end.max(range.start)),
        }
    }

    /// From the start of `self` to the end of `other`, which lies in the same text.
    #[must_use]
    pub fn to(self, other: Place) -> Place {
        Place {
            file: self.file,
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// Line and column as people count them: both from 1, columns in grapheme clusters, a tab is one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: usize,
    /// Column in grapheme clusters, from 1.
    pub column: usize,
}

/// One text: a file, standard input, or a value given on the command line.
#[derive(Debug)]
pub struct SourceText {
    /// How the text is named in diagnostics: the path as the user gave it, or a pseudo name in angle brackets.
    pub name: String,
    /// The text itself.
    pub text: String,
    line_starts: Vec<usize>,
}

impl SourceText {
    fn new(name: String, text: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            name,
            text,
            line_starts,
        }
    }

    /// Line and column of a byte offset; an offset beyond the end is the end.
    pub fn line_column(&self, offset: usize) -> LineColumn {
        use unicode_segmentation::UnicodeSegmentation;
        let offset = self.text.floor_char_boundary(offset.min(self.text.len()));
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = line
            .checked_sub(1)
            .and_then(|index| self.line_starts.get(index))
            .copied()
            .unwrap_or(0);
        let column = self
            .text
            .get(start..offset)
            .map_or(0, |before| before.graphemes(true).count())
            + 1;
        LineColumn { line, column }
    }

    /// The text of a line (from 1) without its line end; empty for a line that does not exist.
    pub fn line(&self, line: usize) -> &str {
        let Some(start) = line
            .checked_sub(1)
            .and_then(|index| self.line_starts.get(index))
            .copied()
        else {
            return "";
        };
        let end = self.line_starts.get(line).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or("").trim_end_matches(['\r', '\n'])
    }
}

/// All texts of an invocation. Clones share the texts; adding to a clone does not change the original.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    texts: Vec<Arc<SourceText>>,
}

impl SourceMap {
    /// Keeps a text and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(Arc::new(SourceText::new(name.into(), text.into())));
        id
    }

    /// The text of an id of this map.
    pub fn get(&self, file: FileId) -> Option<&SourceText> {
        self.texts.get(file.0 as usize).map(AsRef::as_ref)
    }

    /// The characters at a place; empty when the place is not of this map.
    pub fn slice(&self, place: Place) -> &str {
        self.get(place.file)
            .and_then(|source| source.text.get(place.start as usize..place.end as usize))
            .unwrap_or("")
    }

    /// `FILE:LINE:COLUMN` of a place's start.
    pub fn describe(&self, place: Place) -> String {
        self.get(place.file).map_or_else(String::new, |source| {
            format!("{}:{}", source.name, source.line_column(place.start as usize))
        })
    }
}

impl fmt::Display for LineColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}
