//! Marks: what is to be known about where a value came from. They spread to everything that is derived from a marked value.

/// A set of marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Marks {
    sensitive: bool,
}

impl Marks {
    /// No mark.
    pub const NONE: Marks = Marks { sensitive: false };
    /// Must not be shown.
    pub const SENSITIVE: Marks = Marks { sensitive: true };

    /// The marks of both.
    #[must_use]
    pub fn union(self, other: Marks) -> Marks {
        Marks {
            sensitive: self.sensitive || other.sensitive,
        }
    }

    /// Must it be hidden?
    pub fn is_sensitive(self) -> bool {
        self.sensitive
    }

    /// No mark at all?
    pub fn is_empty(self) -> bool {
        self == Marks::NONE
    }
}

impl FromIterator<Marks> for Marks {
    fn from_iter<I: IntoIterator<Item = Marks>>(all: I) -> Self {
        all.into_iter().fold(Marks::NONE, Marks::union)
    }
}
