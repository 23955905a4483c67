//! Ansible Galaxy: which of roles and collections a file of requirements names, and the calls that install them.
//! Shared with `ansible-local`, which makes them on the instance.

/// What `ansible-galaxy` shall do, as the options of both provisioners say it.
pub(crate) struct Galaxy<'a> {
    /// The file of requirements where the program runs.
    pub(crate) file: &'a str,
    /// Install them even when they are there.
    pub(crate) force: bool,
    /// The same for what they depend on.
    pub(crate) force_with_deps: bool,
    /// Directory for roles.
    pub(crate) roles_path: Option<&'a str>,
    /// Directory for collections.
    pub(crate) collections_path: Option<&'a str>,
}

/// What a file of requirements names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// A list of roles. The oldest format is nothing but that.
    pub(crate) roles: bool,
    /// A list of collections.
    pub(crate) collections: bool,
}

impl Requirements {
    /// What this text names.
    pub(crate) fn of(text: &str) -> Self {
        let has = |key: &str| text.lines().any(|line| line.starts_with(key));
        let collections = has("collections:");
        Self {
            roles: has("roles:") || !collections,
            collections,
        }
    }
}

impl Galaxy<'_> {
    /// The arguments of each call.
    pub(crate) fn calls(&self, requirements: Requirements) -> Vec<Vec<String>> {
        let mut calls = Vec::new();
        if requirements.roles {
            calls.push(self.call(&["install"], self.roles_path));
        }
        if requirements.collections {
            calls.push(self.call(&["collection", "install"], self.collections_path));
        }
        calls
    }

    fn call(&self, verb: &[&str], path: Option<&str>) -> Vec<String> {
        let mut words = verb.to_vec();
        words.extend(["-r", self.file]);
        words.extend(self.force.then_some("-f"));
        words.extend(self.force_with_deps.then_some("--force-with-deps"));
        words.extend(path.into_iter().flat_map(|path| ["-p", path]));
        words.into_iter().map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_roles_collections_or_both() {
        let of = |text| {
            let found = Requirements::of(text);
            (found.roles, found.collections)
        };
        assert_eq!(of("---\n- src: a.b\n"), (true, false));
        assert_eq!(of("roles:\n  - a.b\ncollections:\n  - c.d\n"), (true, true));
        assert_eq!(of("collections:\n  - c.d\n"), (false, true));
        assert_eq!(of("  collections:\n"), (true, false));
    }

    #[test]
    fn each_kind_is_installed_by_a_call_of_its_own() {
        let galaxy = Galaxy {
            file: "r.yml",
            force: true,
            force_with_deps: true,
            roles_path: Some("r"),
            collections_path: None,
        };
        let calls = galaxy.calls(Requirements {
            roles: true,
            collections: true,
        });
        assert_eq!(calls[0].join(" "), "install -r r.yml -f --force-with-deps -p r");
        assert_eq!(calls[1].join(" "), "collection install -r r.yml -f --force-with-deps");
    }
}
