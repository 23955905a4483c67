//! The SFTP server: it runs in the machine, as the login user.

/// Serves SFTP on the standard streams; returns the exit status.
pub(super) fn serve() -> i32 {
    1
}
