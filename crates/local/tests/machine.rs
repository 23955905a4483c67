//! Real machines, reached with OpenSSH's own clients, and attempts to break out of them.
fn main() {
    bakelite_local::sandbox::enter_if_asked();
}
