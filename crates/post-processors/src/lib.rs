//! What happens to an artifact after a bake.
