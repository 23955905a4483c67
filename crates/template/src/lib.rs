//! Packer's use of the language: which files make up a template, its blocks and variables, what components declare, and the plan
//! that comes of them. No cloud, no SSH, no terminal; the world is asked only through [`component::DataSources`].
//!
//! The way through it: [`template::read`] turns an [`Invocation`] into a [`template::Template`] (phases 2–8: files, syntax,
//! versions, structure, values of variables) or into diagnostics. [`template::Template::plan`] does the rest (phases 9–11: plugins,
//! locals and data sources, builds, options) and answers with a [`plan::Plan`]; builds that failed are not in it, the diagnostics say
//! why. [`template::Template::inspect`] and [`template::Template::console`] are the two commands that look at a template without
//! planning it.

pub mod component;
pub mod console;
pub mod decode;
pub mod duration;
pub mod functions;
pub mod gotemplate;
pub mod plan;
pub mod plugins;
pub mod schema;
pub mod secrets;
pub mod template;
pub mod version;

mod blocks;
mod builds;
mod context;
mod discover;
mod dynamic;
mod filter;
mod inspect;
mod invocation;
pub mod legacy;
mod locals;
mod location;
mod outdated;
mod planner;
mod scope;
mod show;
mod variables;

pub use invocation::{ConfigType, Invocation, Purpose, UndeclaredVariables};
pub use legacy::Inspected;
pub use show::display;
pub use template::{Template, read};
pub use version::PACKER_VERSION;
