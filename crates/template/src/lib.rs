//! Packer's use of the language: templates, variables, components and plans.
