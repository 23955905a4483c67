//! Numbers: binary floating point of up to 512 bits, as the language has it (language.md §11).

/// A number.
#[derive(Debug, Clone)]
pub struct Number(dashu_float::FBig<dashu_float::round::mode::HalfEven, 2>);
