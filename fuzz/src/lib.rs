//! Texts nobody writes by hand, thrown at the readers of templates and of the local cloud's protocols: whatever they are, the answer is
//! a value, a plan, an answer or an error with a place; never a panic, a hang or a memory that fills up. Works on stable Rust: what an input reached is told from what the readers
//! said about it, and inputs that reached something new are kept and changed further.

pub mod bench;
#[path = "../../crates/template/tests/golden/components.rs"]
mod components;
pub mod grammar;
mod hostile;
pub mod mutate;
pub mod reached;
pub mod seeds;
pub mod target;
pub mod watch;
