//! HCL native syntax lowered into the syntax tree.
