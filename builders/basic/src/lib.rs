//! The null and file builders.
