//! Isolation: machines that cannot reach the host.

/// Becomes the sandbox's init when the program was started as one; call it first thing in `main`.
pub fn enter_if_asked() {}
