//! Paths of this machine as options: complaints while validating, before an instance costs money.

use std::path::Path;

use bakelite_template::component::Complaint;

/// What an option's path must lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Either.
    Any,
}

impl Kind {
    /// What is wrong with the path that is the value of an option.
    pub fn complaint(self, option: &str, path: &str) -> Option<Complaint> {
        let (found, name) = match self {
            Kind::File => (Path::new(path).is_file(), "file"),
            Kind::Directory => (Path::new(path).is_dir(), "directory"),
            Kind::Any => (Path::new(path).exists(), "file or directory"),
        };
        (!found).then(|| Complaint::error(option, format!("`{path}` is not an existing {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_must_lead_to_what_is_expected() {
        let message = |kind: Kind, path| kind.complaint("galaxy_file", path).map(|complaint| complaint.message);
        assert_eq!(message(Kind::File, "Cargo.toml"), None);
        assert_eq!(message(Kind::Directory, "src"), None);
        assert_eq!(message(Kind::Any, "src"), None);
        assert_eq!(message(Kind::File, "src").unwrap(), "`src` is not an existing file");
        assert_eq!(
            message(Kind::Any, "nosuch").unwrap(),
            "`nosuch` is not an existing file or directory"
        );
    }
}
