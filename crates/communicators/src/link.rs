//! Which links mean the same wherever a folder lies: those that lead to something of it.

use std::path::{Component, Path, PathBuf};

/// Where a link of a folder leads, below that folder; `None` when it leads out of it.
pub(crate) fn resolved_inside(link: &Path, target: &Path) -> Option<PathBuf> {
    let mut resolved = link.parent()?.to_owned();
    let mut down = false;
    for component in target.components() {
        match component {
            Component::Normal(name) => {
                down = true;
                resolved.push(name);
            }
            Component::CurDir => {}
            // Up again after going down may be up from where another link has led.
            Component::ParentDir if !down && resolved.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_may_go_up_only_before_it_goes_down() {
        let inside = |link: &str, target: &str| resolved_inside(Path::new(link), Path::new(target));
        assert_eq!(inside("a/b", "../c"), Some("c".into()));
        assert_eq!(inside("a/b", "../../c"), None);
        assert_eq!(inside("b", "a/../c"), None);
        assert_eq!(inside("b", "/etc/passwd"), None);
        assert_eq!(inside("a/b", ".."), Some("".into()));
    }
}
