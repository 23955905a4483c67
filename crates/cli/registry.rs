//! All components: the slices of the crates that have some. This file changes only when such a crate comes or goes.

#[cfg(all(test, feature = "amazon"))]
mod reference;

use bakelite_engine::registry::Registry;

/// The components of this program.
pub(crate) fn registry() -> Registry {
    Registry::new(&[
        #[cfg(feature = "amazon")]
        bakelite_builder_amazon::COMPONENTS,
        bakelite_builders_basic::COMPONENTS,
        bakelite_provisioners::COMPONENTS,
        bakelite_post_processors::COMPONENTS,
    ])
}
