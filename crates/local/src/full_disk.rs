//! What a full file system looks like, and what there is to do about it.

/// How to make room.
pub(crate) const FREE_SPACE: &str =
    "`bakelite local du` lists what takes space; `bakelite local rm AMI` and `bakelite local prune` free it";

/// Whether an error of the system comes of a full file system or of a quota.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}
