//! The modules of a crate and what they use of each other: every file is parsed, every path resolved to the file that defines it,
//! through re-exports. What is compiled for tests alone is left out. Methods are not resolved (that needs types): a file that only
//! calls methods of a type without naming it does not count as its user.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

use crate::tree::text;

/// Which names each file uses of which other file.
pub(crate) type Uses = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// The uses between the files of the crate whose root is this file.
pub(crate) fn uses(root: &Path) -> Uses {
    let mut crate_ = Crate { modules: Vec::new() };
    let syntax = parse(root);
    let directory = root.parent().unwrap().to_owned();
    crate_.add(root, &directory, &syntax.items, None);
    crate_.resolve_all()
}

struct Crate {
    modules: Vec<Module>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    definitions: BTreeSet<String>,
    imports: Vec<Import>,
    paths: BTreeSet<Vec<String>>,
}

/// One leaf of a `use` tree. A glob has no name.
#[derive(Clone)]
struct Import {
    name: Option<String>,
    path: Vec<String>,
    is_exported: bool,
}

/// What a path leads to.
enum Target {
    Module(usize),
    Definition(PathBuf, String),
}

fn parse(file: &Path) -> syn::File {
    syn::parse_file(&text(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

impl Crate {
    /// Adds a module with those below it; `directory` is where its `mod NAME;` are looked for.
    fn add(&mut self, file: &Path, directory: &Path, items: &[Item], parent: Option<usize>) -> usize {
        let id = self.modules.len();
        self.modules.push(Module {
            file: file.to_owned(),
            parent,
            ..Module::default()
        });
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            if let Item::Mod(module) = item {
                let name = module.ident.to_string();
                let below = directory.join(&name);
                let child = if let Some((_, items)) = &module.content {
                    self.add(file, &below, items, Some(id))
                } else {
                    let (file, below) = file_of(directory, &name, &module.attrs);
                    self.add(&file, &below, &parse(&file).items, Some(id))
                };
                self.modules[id].children.insert(name, child);
            } else {
                let module = &mut self.modules[id];
                module.definitions.extend(definition(item));
                Reader { module }.visit_item(item);
            }
        }
        id
    }

    fn resolve_all(&self) -> Uses {
        let mut uses = Uses::new();
        for (id, module) in self.modules.iter().enumerate() {
            let imports = module.imports.iter().filter(|import| !import.is_exported);
            let imports = imports.map(|import| &import.path);
            for path in module.paths.iter().chain(imports) {
                if let Some(Target::Definition(file, name)) = self.resolve(id, path, 0)
                    && file != module.file
                {
                    let used = uses.entry(module.file.clone()).or_default();
                    used.entry(file).or_default().insert(name);
                }
            }
        }
        uses
    }

    /// What a path means in a module; nothing if it leads out of the crate. `depth` ends circles of re-exports.
    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(self.modules[module].parent?),
            name => self.look_up(module, name, !rest.is_empty(), depth)?,
        };
        let mut target = start;
        for (index, name) in rest.iter().enumerate() {
            let Target::Module(module) = target else {
                return Some(target);
            };
            target = match name.as_str() {
                "super" => Target::Module(self.modules[module].parent?),
                "self" => Target::Module(module),
                name => self.look_up(module, name, index + 1 < rest.len(), depth)?,
            };
        }
        Some(target)
    }

    /// A name in a module. A module and a function may have the same name: what follows the name decides.
    fn look_up(&self, module: usize, name: &str, is_followed: bool, depth: usize) -> Option<Target> {
        let here = &self.modules[module];
        let child = here.children.get(name).copied().map(Target::Module);
        if is_followed && child.is_some() {
            return child;
        }
        if here.definitions.contains(name) {
            return Some(Target::Definition(here.file.clone(), name.to_owned()));
        }
        if depth > 8 {
            return child;
        }
        let named = here
            .imports
            .iter()
            .filter(|import| import.name.as_deref() == Some(name));
        let through_names = named.map(|import| import.path.clone());
        let globs = here.imports.iter().filter(|import| import.name.is_none());
        let through_globs = globs.map(|import| [import.path.clone(), vec![name.to_owned()]].concat());
        let mut found = through_names
            .chain(through_globs)
            .filter(|path| path.len() > 1 || path[0] != name)
            .filter_map(|path| self.resolve(module, &path, depth + 1));
        found.next().or(child)
    }
}

/// The file of `mod NAME;`, and where the modules below it are looked for.
fn file_of(directory: &Path, name: &str, attributes: &[Attribute]) -> (PathBuf, PathBuf) {
    let given = attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => Some(string(&pair.value)),
        _ => None,
    });
    let nested = directory.join(name).join("mod.rs");
    match given {
        Some(path) => {
            let file = directory.join(path);
            let below = file.parent().unwrap().to_owned();
            (file, below)
        }
        None if crate::tree::root().join(&nested).exists() => (nested, directory.join(name)),
        None => (directory.join(format!("{name}.rs")), directory.join(name)),
    }
}

fn string(value: &syn::Expr) -> String {
    match value {
        syn::Expr::Lit(literal) => match &literal.lit {
            syn::Lit::Str(text) => text.value(),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => {
            let words: Vec<String> = list.tokens.clone().into_iter().flat_map(words).collect();
            words.iter().any(|word| word == "test") && !words.iter().any(|word| word == "not" || word == "any")
        }
        meta => meta.path().is_ident("test"),
    })
}

fn words(token: TokenTree) -> Vec<String> {
    match token {
        TokenTree::Group(group) => group.stream().into_iter().flat_map(words).collect(),
        TokenTree::Ident(word) => vec![word.to_string()],
        _ => Vec::new(),
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn definition(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// Collects what the code of one module names.
struct Reader<'a> {
    module: &'a mut Module,
}

impl Reader<'_> {
    fn import(&mut self, tree: &UseTree, mut path: Vec<String>, is_exported: bool) {
        let name = match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                return self.import(&inner.tree, path, is_exported);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path.clone(), is_exported);
                }
                return;
            }
            UseTree::Name(name) if name.ident == "self" => path.last().cloned(),
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                Some(name.ident.to_string())
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                Some(rename.rename.to_string())
            }
            UseTree::Glob(_) => None,
        };
        self.module.imports.push(Import {
            name,
            path,
            is_exported,
        });
    }

    /// Paths in the arguments of a macro, which are not parsed.
    fn tokens(&mut self, stream: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in stream {
            match token {
                TokenTree::Ident(word) if path.is_empty() || colons == 2 => {
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    self.module.paths.insert(std::mem::take(&mut path));
                    colons = 0;
                    match other {
                        TokenTree::Ident(word) => path.push(word.to_string()),
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        _ => {}
                    }
                }
            }
        }
        self.module.paths.insert(path);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_exported = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, Vec::new(), is_exported);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string());
        self.module.paths.insert(segments.collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }
}
