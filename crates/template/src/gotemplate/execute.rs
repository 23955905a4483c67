//! A tree rendered with its data.

use std::collections::BTreeMap;

use super::tree::{Branch, Command, Node, Operand, Pipe, Tree};
use super::value::GoValue;
use super::{Library, RenderError, builtin};

/// Templates that call each other, at most this deep.
const DEPTH: usize = 50;
/// Nodes that are rendered, at most: templates that call each other can multiply.
const STEPS: usize = 250_000;
/// Bytes that are handed to functions, kept in variables and written, at most: text can double at each step.
const WORK: usize = 64 << 20;

/// Renders a tree.
pub(super) fn execute(tree: &Tree, data: &GoValue, functions: &dyn Library) -> Result<String, RenderError> {
    let mut run = Run {
        tree,
        functions,
        out: String::new(),
        variables: vec![(String::new(), data.clone())],
        steps: 0,
        work: 0,
    };
    run.nodes(&tree.main, data, 0)?;
    Ok(run.out)
}

fn wrong(at: usize, message: impl Into<String>) -> RenderError {
    RenderError::Execution {
        at,
        message: message.into(),
    }
}

fn too_long(at: usize) -> RenderError {
    wrong(at, "rendering takes too long, or makes too much text")
}

/// How a list of nodes ended.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'a> {
    tree: &'a Tree,
    functions: &'a dyn Library,
    out: String,
    variables: Vec<(String, GoValue)>,
    steps: usize,
    work: usize,
}

impl Run<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &GoValue, depth: usize) -> Result<Flow, RenderError> {
        for node in nodes {
            self.steps += 1;
            if self.steps > STEPS {
                return Err(too_long(0));
            }
            match node {
                Node::Text(text) => {
                    self.pay(text.len(), 0)?;
                    self.out.push_str(text);
                }
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        let text = value.print();
                        self.pay(text.len(), pipe.at)?;
                        self.out.push_str(&text);
                    }
                }
                Node::If(branch) => {
                    let flow = self.scoped(|run| {
                        let nodes = if run.pipe(&branch.pipe, dot)?.truth() {
                            &branch.yes
                        } else {
                            &branch.no
                        };
                        run.nodes(nodes, dot, depth)
                    })?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::With(branch) => {
                    let flow = self.scoped(|run| {
                        let value = run.pipe(&branch.pipe, dot)?;
                        if value.truth() {
                            run.nodes(&branch.yes, &value, depth)
                        } else {
                            run.nodes(&branch.no, dot, depth)
                        }
                    })?;
                    if flow != Flow::On {
                        return Ok(flow);
                    }
                }
                Node::Range(branch) => self.scoped(|run| run.range(branch, dot, depth))?,
                Node::Template { name, data, at } => self.template(name, data.as_ref(), *at, dot, depth)?,
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    /// Variables that are declared within do not outlive it.
    fn scoped<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, RenderError>) -> Result<T, RenderError> {
        let known = self.variables.len();
        let result = work(self);
        self.variables.truncate(known);
        result
    }

    fn range(&mut self, branch: &Branch, dot: &GoValue, depth: usize) -> Result<(), RenderError> {
        let value = self.commands(&branch.pipe, dot)?;
        let pairs: Vec<(GoValue, GoValue)> = match value {
            GoValue::List(elements) => elements
                .into_iter()
                .enumerate()
                .map(|(at, element)| (index(at), element))
                .collect(),
            GoValue::Map(members) => members
                .into_iter()
                .map(|(name, member)| (GoValue::Text(name), member))
                .collect(),
            GoValue::Int(count) => {
                let count = usize::try_from(count).unwrap_or(0).min(STEPS);
                (0..count).map(|at| (index(at), index(at))).collect()
            }
            GoValue::Nothing => Vec::new(),
            other => {
                return Err(wrong(
                    branch.pipe.at,
                    format!("`range` cannot iterate over a {}", other.type_name()),
                ));
            }
        };
        if pairs.is_empty() {
            self.nodes(&branch.no, dot, depth)?;
            return Ok(());
        }
        for (key, element) in pairs {
            let flow = self.scoped(|run| {
                match branch.pipe.variables.as_slice() {
                    [] => {}
                    [only] => run.set(only, element.clone(), branch.pipe.assigns),
                    [first, second, ..] => {
                        run.set(first, key, branch.pipe.assigns);
                        run.set(second, element.clone(), branch.pipe.assigns);
                    }
                }
                run.nodes(&branch.yes, &element, depth)
            })?;
            if flow == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn template(
        &mut self,
        name: &str,
        data: Option<&Pipe>,
        at: usize,
        dot: &GoValue,
        depth: usize,
    ) -> Result<(), RenderError> {
        let tree = self.tree;
        let Some(nodes) = tree.defined.get(name) else {
            return Err(wrong(at, format!("template `{name}` is not defined")));
        };
        if depth >= DEPTH {
            return Err(wrong(at, "templates call each other too deeply"));
        }
        let data = match data {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => GoValue::Nothing,
        };
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), data.clone())]);
        let result = self.nodes(nodes, &data, depth + 1);
        self.variables = outer;
        result.map(|_| ())
    }

    fn set(&mut self, name: &str, value: GoValue, assigns: bool) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        match known {
            Some((_, old)) if assigns => *old = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &GoValue) -> Result<GoValue, RenderError> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            self.set(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &Pipe, dot: &GoValue) -> Result<GoValue, RenderError> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, value, dot)?);
        }
        Ok(value.unwrap_or(GoValue::Nothing))
    }

    fn command(&mut self, command: &Command, piped: Option<GoValue>, dot: &GoValue) -> Result<GoValue, RenderError> {
        let Some((first, rest)) = command.operands.split_first() else {
            return Ok(GoValue::Nothing);
        };
        if let Operand::Function(name) = first {
            return self.call(name, rest, piped, command.at, dot);
        }
        if !rest.is_empty() || piped.is_some() {
            return Err(wrong(command.at, "a value that is not a function is given arguments"));
        }
        self.operand(first, dot, command.at)
    }

    fn call(
        &mut self,
        name: &str,
        operands: &[Operand],
        piped: Option<GoValue>,
        at: usize,
        dot: &GoValue,
    ) -> Result<GoValue, RenderError> {
        if matches!(name, "and" | "or") {
            return self.connect(name == "and", operands, piped, at, dot);
        }
        let mut arguments = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            arguments.push(self.operand(operand, dot, at)?);
        }
        arguments.extend(piped);
        let result = match builtin::call(name, &arguments) {
            Some(result) => result.map(Some),
            None => self.functions.call(name, &arguments),
        };
        let result = result.map_err(|message| wrong(at, format!("`{name}`: {message}")))?;
        let value = result.ok_or_else(|| RenderError::Unknown {
            at,
            function: name.to_owned(),
        })?;
        self.pay(value.size(), at)?;
        self.functions.made(&arguments, &value);
        Ok(value)
    }

    /// `and`, `or`: the first argument that decides; those after it are not evaluated.
    fn connect(
        &mut self,
        is_and: bool,
        operands: &[Operand],
        piped: Option<GoValue>,
        at: usize,
        dot: &GoValue,
    ) -> Result<GoValue, RenderError> {
        let mut last = None;
        for operand in operands {
            let value = self.operand(operand, dot, at)?;
            if value.truth() != is_and {
                return Ok(value);
            }
            last = Some(value);
        }
        piped.or(last).ok_or_else(|| wrong(at, "an argument is missing"))
    }

    /// Notes work that is about to be done, or that it would be too much.
    fn pay(&mut self, bytes: usize, at: usize) -> Result<(), RenderError> {
        self.work = self.work.saturating_add(bytes);
        if self.work > WORK { Err(too_long(at)) } else { Ok(()) }
    }

    fn operand(&mut self, operand: &Operand, dot: &GoValue, at: usize) -> Result<GoValue, RenderError> {
        let value = self.operand_value(operand, dot, at)?;
        self.pay(value.size(), at)?;
        Ok(value)
    }

    fn operand_value(&mut self, operand: &Operand, dot: &GoValue, at: usize) -> Result<GoValue, RenderError> {
        Ok(match operand {
            Operand::Dot => dot.clone(),
            Operand::Nil => GoValue::Nothing,
            Operand::Bool(truth) => GoValue::Bool(*truth),
            Operand::Int(number) => GoValue::Int(*number),
            Operand::Float(number) => GoValue::Float(*number),
            Operand::Text(text) => GoValue::Text(text.clone()),
            Operand::Field(names) => field(dot.clone(), names, at)?,
            Operand::Variable(name, names) => {
                let value = self.variables.iter().rev().find(|(known, _)| known == name);
                field(value.map_or(GoValue::Nothing, |(_, value)| value.clone()), names, at)?
            }
            Operand::Function(name) => self.call(name, &[], None, at, dot)?,
            Operand::Pipe(pipe, names) => {
                let value = self.pipe(pipe, dot)?;
                field(value, names, at)?
            }
        })
    }
}

fn index(at: usize) -> GoValue {
    GoValue::Int(i64::try_from(at).unwrap_or(i64::MAX))
}

/// `value.a.b`. A name that the data lacks is an error, unless it has no names at all; one that a map within it lacks is no value.
fn field(value: GoValue, names: &[String], at: usize) -> Result<GoValue, RenderError> {
    let mut value = value;
    for (depth, name) in names.iter().enumerate() {
        value = match value {
            GoValue::Map(mut members) => match members.remove(name) {
                Some(member) => member,
                None if members.is_empty() || depth > 0 => GoValue::Nothing,
                None => return Err(missing(name, &members, at)),
            },
            GoValue::Nothing => return Err(wrong(at, format!("there is nothing that could have a field `{name}`"))),
            other => return Err(wrong(at, format!("a {} has no field `{name}`", other.type_name()))),
        };
    }
    Ok(value)
}

fn missing(name: &str, members: &BTreeMap<String, GoValue>, at: usize) -> RenderError {
    let known: Vec<String> = members.keys().map(|known| format!("`.{known}`")).collect();
    wrong(
        at,
        format!("there is no field `.{name}`; there are {}", known.join(", ")),
    )
}
