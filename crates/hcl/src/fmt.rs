//! Canonical formatting of native syntax.
