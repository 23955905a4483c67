//! The template language: values, types, expressions, functions, diagnostics and formatting. A language and nothing of Packer:
//! no async, no network, no terminal; files are read only by the file functions, from a base directory that the caller names.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::allow_attributes,
        reason = "a test fails by panicking"
    )
)]

pub mod budget;
pub mod content;
pub mod convert;
pub mod diagnostic;
pub mod duration;
pub mod evaluate;
pub mod externals;
pub mod fmt;
pub mod functions;
pub mod json;
pub mod marks;
pub mod native;
pub mod number;
pub mod scope;
pub mod source;
pub mod syntax;
pub mod types;
pub mod value;
