//! Locals and data sources as one graph: each is evaluated after those that it refers to.

use std::collections::HashMap;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics, similar_name};
use bakelite_hcl::evaluate::{Reference, references};
use bakelite_hcl::source::Place;
use bakelite_hcl::syntax::{Body, Item};

use crate::blocks::Blocks;

/// What is evaluated at one point of the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// The local at this index.
    Local(usize),
    /// The data source at this index.
    Data(usize),
}

/// An edge: the node that is referred to, and where.
type Edge = (usize, Place);

/// The names of at most this many members of a cycle are told.
const TOLD: usize = 10;

/// The locals and data sources in an order in which each comes after what it refers to. `None`, when they refer to each other in a
/// circle or to one that does not exist.
pub(crate) fn order(blocks: &Blocks, diagnostics: &mut Diagnostics) -> Option<Vec<Node>> {
    let graph = Graph::new(blocks, diagnostics)?;
    let mut done = vec![false; graph.names.len()];
    let mut sorted = Vec::with_capacity(graph.names.len());
    let mut failed = false;
    for start in 0..graph.names.len() {
        failed |= !graph.visit(start, &mut done, &mut sorted, diagnostics);
    }
    (!failed).then(|| sorted.into_iter().map(|index| graph.node(index)).collect())
}

struct Graph {
    /// `local.x`, `data.null.x`, with the place of the declaration.
    names: Vec<(String, Place)>,
    locals: usize,
    edges: Vec<Vec<Edge>>,
}

impl Graph {
    fn new(blocks: &Blocks, diagnostics: &mut Diagnostics) -> Option<Self> {
        let locals = blocks
            .locals
            .values()
            .map(|local| (format!("local.{}", local.name.text), local.name.place));
        let data = blocks
            .data
            .iter()
            .map(|((kind, name), data)| (format!("data.{kind}.{name}"), data.place));
        let names: Vec<(String, Place)> = locals.chain(data).collect();
        let index: HashMap<&str, usize> = names
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (name.as_str(), at))
            .collect();
        let mut found = Diagnostics::default();
        let mut edges = Vec::with_capacity(names.len());
        for local in blocks.locals.values() {
            edges.push(resolve(references(&local.expression), &index, &mut found));
        }
        for data in blocks.data.values() {
            let mut all = Vec::new();
            collect(&data.body, &mut all);
            edges.push(resolve(all, &index, &mut found));
        }
        let failed = found.has_errors();
        diagnostics.extend(found);
        (!failed).then_some(Self {
            names,
            locals: blocks.locals.len(),
            edges,
        })
    }

    fn node(&self, index: usize) -> Node {
        if index < self.locals {
            Node::Local(index)
        } else {
            Node::Data(index - self.locals)
        }
    }

    /// Depth first with a stack of our own: a chain of references may be thousands long. False when a cycle was found.
    fn visit(&self, start: usize, done: &mut [bool], sorted: &mut Vec<usize>, diagnostics: &mut Diagnostics) -> bool {
        let mut path: Vec<(usize, usize)> = Vec::new();
        let mut on_path: HashMap<usize, usize> = HashMap::new();
        let mut sound = true;
        if !done.get(start).copied().unwrap_or(true) {
            on_path.insert(start, 0);
            path.push((start, 0));
        }
        while let Some((index, next)) = path.last_mut() {
            let Some((target, _)) = self.edges.get(*index).and_then(|edges| edges.get(*next)) else {
                if let Some(flag) = done.get_mut(*index) {
                    *flag = true;
                }
                sorted.push(*index);
                on_path.remove(index);
                path.pop();
                continue;
            };
            *next += 1;
            if let Some(from) = on_path.get(target) {
                self.complain(path.get(*from..).unwrap_or_default(), diagnostics);
                sound = false;
            } else if !done.get(*target).copied().unwrap_or(true) {
                on_path.insert(*target, path.len());
                path.push((*target, 0));
            }
        }
        sound
    }

    /// `cycle`: the nodes on it with the edge that was followed last.
    fn complain(&self, cycle: &[(usize, usize)], diagnostics: &mut Diagnostics) {
        let edge = |(index, next): &(usize, usize)| {
            let (target, place) = self.edges.get(*index)?.get(next.checked_sub(1)?)?;
            Some((self.names.get(*index)?, self.names.get(*target)?, *place))
        };
        let steps: Vec<_> = cycle.iter().filter_map(edge).collect();
        let Some((from, _, place)) = steps.first() else { return };
        let mut names: Vec<&str> = steps.iter().take(TOLD).map(|(from, _, _)| from.0.as_str()).collect();
        let left_out = steps.len().saturating_sub(TOLD);
        let more = format!("… {left_out} more …");
        if left_out > 0 {
            names.push(&more);
        }
        names.push(&from.0);
        let summary = match steps.len() {
            1 => format!("`{}` refers to itself", from.0),
            count => format!("{count} values refer to each other in a circle"),
        };
        let mut diagnostic = Diagnostic::error(*place, summary).detail(format!("{}.", names.join(" → ")));
        for (from, to, place) in steps.iter().skip(1).take(TOLD) {
            diagnostic = diagnostic.related(*place, format!("`{}` refers to `{}`", from.0, to.0));
        }
        diagnostics.push(diagnostic);
    }
}

/// The nodes that are referred to. `local` by itself, without a name, sees whatever is evaluated already.
fn resolve(references: Vec<Reference>, index: &HashMap<&str, usize>, diagnostics: &mut Diagnostics) -> Vec<Edge> {
    let mut edges = Vec::new();
    for reference in references {
        let name = match (reference.root.as_str(), reference.steps.as_slice()) {
            ("local", [name, ..]) => format!("local.{name}"),
            ("data", [kind, name, ..]) => format!("data.{kind}.{name}"),
            _ => continue,
        };
        if let Some(target) = index.get(name.as_str()) {
            edges.push((*target, reference.place));
        } else {
            // Comparing with thousands of names is worth it for the first few errors only.
            let few = diagnostics.iter().count() < TOLD;
            let similar = if few {
                similar_name(&name, index.keys().copied())
            } else {
                None
            };
            let help = match (similar, reference.steps.as_slice()) {
                (Some(similar), _) => Some(format!("did you mean `{similar}`?")),
                (None, [kind, name, ..]) if reference.root == "data" => {
                    Some(format!("add a block `data \"{kind}\" \"{name}\" {{ … }}`"))
                }
                (None, [name, ..]) => Some(format!("define it in a block: `locals {{ {name} = … }}`")),
                (None, []) => None,
            };
            diagnostics.push(Diagnostic::error(reference.place, format!("there is no `{name}`")).help(help));
        }
    }
    edges
}

/// All references in a body and in the blocks of it.
fn collect(body: &Body, all: &mut Vec<Reference>) {
    let mut open = vec![body];
    while let Some(body) = open.pop() {
        match body {
            Body::Native(native) => {
                for item in &native.items {
                    match item {
                        Item::Attribute(attribute) => all.extend(references(&attribute.expression)),
                        Item::Block(block) => open.push(&block.body),
                    }
                }
            }
            Body::Json(_) => {
                let mut ignored = Diagnostics::default();
                let attributes = body.attributes(&mut ignored);
                all.extend(
                    attributes
                        .iter()
                        .flat_map(|attribute| references(&attribute.expression)),
                );
            }
        }
    }
}
