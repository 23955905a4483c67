//! Roots as stacks of layers: what is mounted for one, how a machine's layer becomes one, and when one may go.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sandbox::Part;
use crate::store::{Base, Found, Layer, RootId, Store, StoreError, root_id};

/// A root that nobody uses any more has at most this many layers below it: the kernel takes 500 layers, and their names
/// must fit one page of mount options.
pub(crate) const MOST_LAYERS: usize = 120;

/// The overlays that make up a root, the one of `/` first. `upper` is the writable layer that will lie above.
pub(crate) fn parts(store: &Store, root: &RootId, upper: Option<&Path>) -> Result<Vec<Part>, StoreError> {
    let (layers, base) = chain(store, root)?;
    let mut lower: Vec<PathBuf> = layers
        .iter()
        .map(|layer| Store::layer_directory(layer).join("fs"))
        .collect();
    let mut directories = Vec::new();
    match base {
        Base::Directory { path } => lower.push(path),
        Base::Host { directories: host } => directories = host,
        Base::Tarball => {}
        Base::Volume => return Err(StoreError::UnknownRoot(root.0.clone())),
    }
    let mut parts: Vec<Part> = Vec::with_capacity(directories.len() + 1);
    for directory in directories {
        if let Some(upper) = upper {
            has_directory(store, upper, &directory)?;
        }
        let mut own = Vec::new();
        for layer in &lower {
            // A layer that has nothing there has nothing to say about it.
            if has_directory(store, layer, &directory)? {
                own.push(layer.join(&directory));
            }
        }
        let lower = own.into_iter().chain([Path::new("/").join(&directory)]).collect();
        parts.push(Part { at: directory, lower });
    }
    parts.insert(
        0,
        Part {
            at: String::new(),
            lower,
        },
    );
    Ok(parts)
}

/// Whether a layer has this directory. Anything else there, or a link on the way, would lead a mount out of the layer.
fn has_directory(store: &Store, layer: &Path, directory: &str) -> Result<bool, StoreError> {
    match store.look(layer, directory)? {
        Found::Nothing => Ok(false),
        Found::Directory => Ok(true),
        Found::Other => Err(StoreError::NotADirectory(layer.join(directory))),
    }
}

/// The layers of a root from the top down to the lowest, and where that comes from.
fn chain(store: &Store, root: &RootId) -> Result<(Vec<RootId>, Base), StoreError> {
    let mut layers = vec![root.clone()];
    let mut layer = store.layer(root)?;
    loop {
        if let Some(base) = layer.base {
            return Ok((layers, base));
        }
        let parent = layer
            .parent
            .filter(|_| layers.len() < MOST_LAYERS)
            .ok_or_else(|| StoreError::UnknownRoot(root.0.clone()))?;
        layer = store.layer(&parent)?;
        layers.push(parent);
    }
}

/// A fresh root id for a snapshot of a machine.
pub(crate) fn snapshot_id(machine: &str) -> RootId {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    root_id(
        "root",
        &[
            machine.as_bytes(),
            &now.as_nanos().to_le_bytes(),
            &std::process::id().to_le_bytes(),
        ],
    )
}

/// Makes a stopped machine's writable layer a root, and gives the machine a new one on top of it.
pub(crate) fn freeze(store: &Store, machine: &str) -> Result<RootId, StoreError> {
    let mut record = store.machine(machine)?;
    let root = snapshot_id(machine);
    let draft = store.draft()?;
    let own = store.directory().join(Store::machine_directory(machine)).join("fs");
    fs::rename(&own, draft.path().join("fs")).map_err(|source| StoreError::File {
        path: own.clone(),
        source,
    })?;
    store.make_directory(&own, 0o755)?;
    let layer = Layer {
        parent: Some(record.root.clone()),
        base: None,
        removed: false,
    };
    store.publish_layer(&draft, &root, &layer)?;
    record.root = root.clone();
    store.write_machine(machine, &record)?;
    Ok(root)
}

/// Something in the store.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) kind: ContentKind,
    /// Relative to the store.
    pub(crate) directory: PathBuf,
    /// What it takes, once that is measured.
    pub(crate) bytes: u64,
}

/// What something in the store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContentKind {
    /// The lowest layer of roots. `in_use` when another layer or a machine stands on it.
    Base { root: RootId, in_use: bool },
    /// What a bake has changed.
    Layer(RootId),
    /// The disk of an instance.
    Machine(String),
    /// A volume besides the root of an instance.
    Volume(String),
    /// What is being made or removed.
    Unfinished,
}

/// All that the store holds, not measured yet.
pub(crate) fn contents(store: &Store) -> Vec<Content> {
    let content = |kind, directory| Content {
        kind,
        directory,
        bytes: 0,
    };
    let (layers, machines) = (layers(store), machine_roots(store));
    let roots = layers.iter().map(|(root, layer)| {
        let in_use = machines.contains(root) || layers.iter().any(|(_, other)| other.parent.as_ref() == Some(root));
        let kind = match layer.base {
            Some(Base::Volume) | None => ContentKind::Layer(root.clone()),
            Some(_) => ContentKind::Base {
                root: root.clone(),
                in_use,
            },
        };
        content(kind, Store::layer_directory(root))
    });
    let names = |kind| store.names(kind).into_iter();
    let machines = names("machines").map(|id| {
        let directory = Store::machine_directory(&id);
        content(ContentKind::Machine(id), directory)
    });
    let volumes = names("volumes").map(|id| {
        let directory = Store::volume_directory(&id);
        content(ContentKind::Volume(id), directory)
    });
    let unfinished =
        names("unfinished").map(|name| content(ContentKind::Unfinished, Path::new("unfinished").join(name)));
    roots.chain(machines).chain(volumes).chain(unfinished).collect()
}

fn layers(store: &Store) -> Vec<(RootId, Layer)> {
    let roots = store.names("layers").into_iter().map(RootId);
    roots
        .filter_map(|root| Some((root.clone(), store.layer(&root).ok()?)))
        .collect()
}

/// The roots that machines stand on.
fn machine_roots(store: &Store) -> Vec<RootId> {
    let machines = store.names("machines");
    let records = machines.iter().filter_map(|id| store.machine(id).ok());
    records.map(|machine| machine.root).collect()
}

/// The deregistered roots that nothing is based on any more, topmost first.
pub(crate) fn unused(store: &Store) -> Vec<RootId> {
    let (mut layers, machines) = (layers(store), machine_roots(store));
    let mut unused = Vec::new();
    while let Some(index) = layers.iter().position(|(root, layer)| {
        layer.removed
            && !machines.contains(root)
            && !layers.iter().any(|(_, other)| other.parent.as_ref() == Some(root))
    }) {
        unused.push(layers.swap_remove(index).0);
    }
    unused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(store: &Store, name: &str, parent: Option<&str>, removed: bool) {
        let root = RootId(name.into());
        fs::create_dir_all(store.directory().join(Store::layer_directory(&root)).join("fs")).unwrap();
        let base = parent.is_none().then_some(Base::Tarball);
        store
            .write_layer(
                &root,
                &Layer {
                    parent: parent.map(|name| RootId(name.into())),
                    base,
                    removed,
                },
            )
            .unwrap();
    }

    #[test]
    fn a_root_is_its_chain_of_layers_top_first() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("s")).unwrap();
        layer(&store, "base", None, false);
        layer(&store, "middle", Some("base"), false);
        layer(&store, "top", Some("middle"), false);
        let parts = parts(&store, &RootId("top".into()), None).unwrap();
        assert_eq!(parts.len(), 1);
        let names = ["layers/top/fs", "layers/middle/fs", "layers/base/fs"].map(PathBuf::from);
        assert_eq!(parts[0].lower, names);
    }

    #[test]
    fn a_deregistered_root_stays_for_those_based_on_it() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("s")).unwrap();
        layer(&store, "base", None, true);
        layer(&store, "middle", Some("base"), true);
        layer(&store, "top", Some("middle"), false);
        assert_eq!(unused(&store), []);
        layer(&store, "top", Some("middle"), true);
        assert_eq!(
            unused(&store).iter().map(|root| root.0.as_str()).collect::<Vec<_>>(),
            ["top", "middle", "base"]
        );
        store.create_machine("i-1", &RootId("middle".into())).unwrap();
        assert_eq!(
            unused(&store).iter().map(|root| root.0.as_str()).collect::<Vec<_>>(),
            ["top"]
        );
    }
}
