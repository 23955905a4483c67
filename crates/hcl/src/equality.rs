//! Equality and order of values.
