//! Conversions and unification of types.
