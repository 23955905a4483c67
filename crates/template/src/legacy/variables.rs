//! Values of a legacy template's variables: defaults may refer to the environment and to each other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::LazyLock;

use bakelite_hcl::diagnostic::{Diagnostic, Diagnostics};
use bakelite_hcl::scope::Externals;
use regex::Regex;

use super::Legacy;
use crate::gotemplate::{self, Context, LegacyNames, RenderError, Rendering};

#[expect(clippy::unwrap_used, reason = "the expression is a constant that a test reads")]
pub(crate) static REFERENCE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"\buser\s+[`"]([^`"]*)[`"]"#).unwrap());

/// Bytes of text in all variables, at most: ones that refer to others several times double at each step.
const LARGEST: usize = 32 << 20;

/// The value of each variable. A value from outside is taken as it is; a default is rendered when those that it refers to are.
pub(crate) fn resolve(
    legacy: &Legacy,
    rendering: &Rendering,
    environment: &BTreeMap<String, String>,
    externals: &dyn Externals,
    diagnostics: &mut Diagnostics,
) -> Arc<LegacyNames> {
    let given = legacy.given.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut names = Arc::new(LegacyNames {
        user: given.collect(),
        directory: legacy.directory.clone(),
    });
    let mut open: Vec<&String> = legacy
        .variables
        .keys()
        .filter(|name| !names.user.contains_key(*name))
        .collect();
    open.retain(|name| {
        let variable = legacy.variables.get(*name);
        if variable.is_some_and(|variable| variable.default.is_none()) {
            let place = variable.map(|variable| variable.place);
            diagnostics.push(
                Diagnostic::error(place, format!("required variable `{name}` has no value"))
                    .help(format!("set it with `-var {name}=…` or in a file for `-var-file`")),
            );
            return false;
        }
        true
    });
    let mut rendering = Rendering {
        context: Context::Variable(environment.clone()),
        ..rendering.clone()
    };
    let mut size = 0usize;
    let mut is_pending = false;
    let mut queue = Queue::of(&open, legacy, &names.user);
    while let Some(name) = queue.next() {
        let Some(variable) = legacy.variables.get(name) else {
            continue;
        };
        let default = variable.default.as_deref().unwrap_or_default();
        rendering.legacy = Some(std::mem::take(&mut names));
        let rendered = gotemplate::render_asking(default, &rendering, Some(externals));
        names = rendering.legacy.take().unwrap_or_default();
        let complaint = match rendered {
            Ok(value) => {
                size += value.len();
                Arc::make_mut(&mut names).user.insert(name.to_owned(), value);
                (size > LARGEST).then(|| format!("the variables hold more than {LARGEST} bytes of text"))
            }
            // All are evaluated again when the answer is known.
            Err(RenderError::Unknown { .. }) => {
                is_pending = true;
                continue;
            }
            Err(error) => Some(format!("default of variable `{name}`: {error}")),
        };
        diagnostics.extend(complaint.map(|complaint| Diagnostic::error(variable.place, complaint)));
        if size > LARGEST {
            return names;
        }
        queue.done(name);
    }
    open.retain(|name| !names.user.contains_key(*name));
    if let Some(first) = open.first().filter(|_| !is_pending && !diagnostics.has_errors()) {
        let names: Vec<String> = open.iter().take(10).map(|name| format!("`{name}`")).collect();
        let place = legacy.variables.get(*first).map(|variable| variable.place);
        diagnostics.push(
            Diagnostic::error(place, "variables refer to each other in a circle").detail(format!(
                "None of {} can be evaluated before the others.",
                names.join(", ")
            )),
        );
    }
    names
}

/// Variables in an order in which each comes after those that it refers to.
struct Queue<'a> {
    ready: VecDeque<&'a str>,
    /// How many variables without a value each of the others refers to.
    waits_for: BTreeMap<&'a str, usize>,
    /// Who waits for a variable.
    waiting: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Queue<'a> {
    fn of(open: &[&'a String], legacy: &'a Legacy, values: &BTreeMap<String, String>) -> Self {
        let mut queue = Self {
            ready: VecDeque::new(),
            waits_for: BTreeMap::new(),
            waiting: BTreeMap::new(),
        };
        for name in open {
            let default = legacy
                .variables
                .get(*name)
                .and_then(|variable| variable.default.as_deref());
            let mut count = 0;
            for found in REFERENCE.captures_iter(default.unwrap_or_default()) {
                let other = found.get(1).map_or("", |name| name.as_str());
                if !values.contains_key(other)
                    && let Some((other, _)) = legacy.variables.get_key_value(other)
                {
                    count += 1;
                    queue.waiting.entry(other).or_default().push(name);
                }
            }
            if count == 0 {
                queue.ready.push_back(name);
            } else {
                queue.waits_for.insert(name, count);
            }
        }
        queue
    }

    fn next(&mut self) -> Option<&'a str> {
        self.ready.pop_front()
    }

    /// A variable has its value, or an error that is told.
    fn done(&mut self, name: &str) {
        for other in self.waiting.remove(name).unwrap_or_default() {
            let Some(count) = self.waits_for.get_mut(other) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                self.ready.push_back(other);
            }
        }
    }
}
