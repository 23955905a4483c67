//! Packer's use of the language: which files make up a template, its blocks and variables, what components declare, and the plan
//! that comes of them. No cloud, no SSH, no terminal; the world is asked only through [`component::DataSources`].

pub mod component;
pub mod decode;
pub mod duration;
pub mod gotemplate;
pub mod plan;
pub mod schema;
