//! JSON with places lowered into the syntax tree.
