//! Words inside of `{{ }}` read as actions, blocks and pipelines.

use super::RenderError;
use super::lexer::{Piece, Token, TokenKind, pieces};
use super::tree::{Branch, Command, Node, Operand, Pipe, Tree};

/// Blocks and parentheses within each other, at most.
const DEPTH: usize = 100;

/// Reads a text; `is_function` tells which functions there are.
pub(super) fn parse(text: &str, is_function: &dyn Fn(&str) -> bool) -> Result<Tree, RenderError> {
    let mut pieces = pieces(text)?;
    pieces.reverse();
    let mut parser = Parser {
        pieces,
        is_function,
        tree: Tree::default(),
        variables: vec![String::new()],
        length: text.len(),
    };
    let (main, end) = parser.list(0, false)?;
    if let End::Word(word, at) = end {
        return Err(wrong(at, format!("`{word}` has no beginning")));
    }
    parser.tree.main = main;
    Ok(parser.tree)
}

fn wrong(at: usize, message: impl Into<String>) -> RenderError {
    RenderError::Syntax {
        at,
        message: message.into(),
    }
}

/// What a list of nodes ended at.
enum End {
    Text,
    /// `end` or `else`, with the rest of an `else if`.
    Word(&'static str, usize),
}

struct Parser<'a> {
    /// Reversed: the next is last.
    pieces: Vec<Piece>,
    is_function: &'a dyn Fn(&str) -> bool,
    tree: Tree,
    variables: Vec<String>,
    length: usize,
}

impl Parser<'_> {
    fn list(&mut self, depth: usize, in_range: bool) -> Result<(Vec<Node>, End), RenderError> {
        let mut nodes = Vec::new();
        if depth > DEPTH {
            return Err(wrong(self.length, "blocks are nested too deeply"));
        }
        while let Some(piece) = self.pieces.pop() {
            let (tokens, at) = match piece {
                Piece::Text(text) => {
                    if !text.is_empty() {
                        nodes.push(Node::Text(text));
                    }
                    continue;
                }
                Piece::Action(tokens, at) => (tokens, at),
            };
            let mut words = Words {
                tokens: tokens.into_iter().peekable(),
                at,
            };
            let keyword = words.keyword();
            match keyword.as_deref() {
                Some("if") => nodes.push(Node::If(self.branch(words, "if", depth, in_range)?)),
                Some("with") => nodes.push(Node::With(self.branch(words, "with", depth, in_range)?)),
                Some("range") => nodes.push(Node::Range(self.branch(words, "range", depth, true)?)),
                Some("define") => self.define(words, depth)?,
                Some("block") => nodes.push(self.block(words, depth)?),
                Some("template") => nodes.push(self.template(words)?),
                Some("end") => {
                    words.finish()?;
                    return Ok((nodes, End::Word("end", at)));
                }
                Some("else") => {
                    if words.tokens.peek().is_some() {
                        // `else if` is an `if` within the `else`, ended by the same `end`.
                        let rest = words.tokens.collect();
                        self.pieces.push(Piece::Action(rest, at));
                        return Ok((nodes, End::Word("else if", at)));
                    }
                    return Ok((nodes, End::Word("else", at)));
                }
                Some(word @ ("break" | "continue")) => {
                    if !in_range {
                        return Err(wrong(at, format!("`{word}` stands outside of a `range`")));
                    }
                    words.finish()?;
                    nodes.push(if word == "break" { Node::Break } else { Node::Continue });
                }
                _ => nodes.push(Node::Action(self.whole_pipe(words, true)?)),
            }
        }
        Ok((nodes, End::Text))
    }

    fn branch(
        &mut self,
        words: Words,
        what: &'static str,
        depth: usize,
        in_range: bool,
    ) -> Result<Branch, RenderError> {
        let at = words.at;
        let known = self.variables.len();
        let pipe = self.whole_pipe(words, true)?;
        let (yes, end) = self.list(depth + 1, in_range)?;
        let mut no = Vec::new();
        match end {
            End::Word("end", _) => {}
            End::Word("else", _) => {
                let (nodes, end) = self.list(depth + 1, in_range)?;
                no = nodes;
                if !matches!(end, End::Word("end", _)) {
                    return Err(wrong(at, format!("`{what}` has no `end`")));
                }
            }
            End::Word(_, at) => {
                let Some(Piece::Action(tokens, _)) = self.pieces.pop() else {
                    return Err(wrong(at, "`else` is not complete"));
                };
                let mut words = Words {
                    tokens: tokens.into_iter().peekable(),
                    at,
                };
                if depth > DEPTH {
                    return Err(wrong(at, "blocks are nested too deeply"));
                }
                let node = match words.keyword().as_deref() {
                    Some("if") if what == "if" => Node::If(self.branch(words, "if", depth + 1, in_range)?),
                    Some("with") if what == "with" => Node::With(self.branch(words, "with", depth + 1, in_range)?),
                    _ => return Err(wrong(at, format!("`else` of `{what}` is followed by something else"))),
                };
                no.push(node);
            }
            End::Text => return Err(wrong(at, format!("`{what}` has no `end`"))),
        }
        self.variables.truncate(known);
        Ok(Branch { pipe, yes, no })
    }

    fn define(&mut self, mut words: Words, depth: usize) -> Result<(), RenderError> {
        let name = words.name()?;
        words.finish()?;
        let body = self.body(words.at, depth)?;
        self.tree.defined.insert(name, body);
        Ok(())
    }

    fn block(&mut self, mut words: Words, depth: usize) -> Result<Node, RenderError> {
        let at = words.at;
        let name = words.name()?;
        let data = Some(self.whole_pipe(words, false)?);
        let body = self.body(at, depth)?;
        self.tree.defined.insert(name.clone(), body);
        Ok(Node::Template { name, data, at })
    }

    fn body(&mut self, at: usize, depth: usize) -> Result<Vec<Node>, RenderError> {
        let outer = std::mem::replace(&mut self.variables, vec![String::new()]);
        let (nodes, end) = self.list(depth + 1, false)?;
        self.variables = outer;
        match end {
            End::Word("end", _) => Ok(nodes),
            _ => Err(wrong(at, "the definition has no `end`")),
        }
    }

    fn template(&mut self, mut words: Words) -> Result<Node, RenderError> {
        let at = words.at;
        let name = words.name()?;
        let data = if words.tokens.peek().is_some() {
            Some(self.whole_pipe(words, false)?)
        } else {
            None
        };
        Ok(Node::Template { name, data, at })
    }

    /// A pipeline up to the end of its action.
    fn whole_pipe(&mut self, mut words: Words, declares: bool) -> Result<Pipe, RenderError> {
        let pipe = self.pipe(&mut words, declares, 0)?;
        words.finish()?;
        Ok(pipe)
    }

    fn pipe(&mut self, words: &mut Words, declares: bool, depth: usize) -> Result<Pipe, RenderError> {
        if depth > DEPTH {
            return Err(wrong(words.at, "parentheses are nested too deeply"));
        }
        let at = words.here();
        let (variables, assigns) = if declares {
            words.declarations()
        } else {
            (Vec::new(), false)
        };
        let mut commands = Vec::new();
        loop {
            commands.push(self.command(words, depth)?);
            if !words.take_sign("|") {
                break;
            }
        }
        for variable in &variables {
            if assigns && !self.variables.contains(variable) {
                return Err(wrong(at, format!("variable `${variable}` is not declared")));
            }
        }
        for command in commands.iter().skip(1) {
            let callable = command
                .operands
                .first()
                .is_some_and(|first| matches!(first, Operand::Function(_) | Operand::Field(_) | Operand::Variable(..)));
            if !callable {
                return Err(wrong(command.at, "only a function can take what comes before `|`"));
            }
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe {
            variables,
            assigns,
            commands,
            at,
        })
    }

    fn command(&mut self, words: &mut Words, depth: usize) -> Result<Command, RenderError> {
        let at = words.here();
        let mut operands = Vec::new();
        while let Some(token) = words
            .tokens
            .next_if(|token| !matches!(token.kind, TokenKind::Sign(")" | "|")))
        {
            if !operands.is_empty() && !token.after_space {
                return Err(wrong(token.at, "arguments are separated by spaces"));
            }
            operands.push(self.operand(token, words, depth)?);
        }
        if operands.is_empty() {
            return Err(wrong(at, "a value is missing"));
        }
        Ok(Command { operands, at })
    }

    fn operand(&mut self, token: Token, words: &mut Words, depth: usize) -> Result<Operand, RenderError> {
        let at = token.at;
        Ok(match token.kind {
            TokenKind::Text(text) => Operand::Text(text),
            TokenKind::Int(number) => Operand::Int(number),
            TokenKind::Float(number) => Operand::Float(number),
            TokenKind::Dot => Operand::Dot,
            TokenKind::Field(name) => {
                let mut names = vec![name];
                names.extend(words.fields());
                Operand::Field(names)
            }
            TokenKind::Variable(name) => {
                if !self.variables.contains(&name) {
                    return Err(wrong(at, format!("variable `${name}` is not declared")));
                }
                Operand::Variable(name, words.fields())
            }
            TokenKind::Word(word) => match word.as_str() {
                "true" => Operand::Bool(true),
                "false" => Operand::Bool(false),
                "nil" => Operand::Nil,
                _ if (self.is_function)(&word) => Operand::Function(word),
                _ => return Err(wrong(at, format!("function `{word}` is not defined"))),
            },
            TokenKind::Sign("(") => {
                let pipe = self.pipe(words, false, depth + 1)?;
                if !words.take_sign(")") {
                    return Err(wrong(at, "the parenthesis is not closed"));
                }
                Operand::Pipe(Box::new(pipe), words.fields())
            }
            TokenKind::Sign(sign) => return Err(wrong(at, format!("`{sign}` is not expected here"))),
        })
    }
}

/// The words of one action.
struct Words {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    at: usize,
}

const KEYWORDS: &[&str] = &[
    "block", "break", "continue", "define", "else", "end", "if", "range", "template", "with",
];

impl Words {
    fn keyword(&mut self) -> Option<String> {
        let is_keyword =
            |token: &Token| matches!(&token.kind, TokenKind::Word(word) if KEYWORDS.contains(&word.as_str()));
        match self.tokens.next_if(is_keyword)?.kind {
            TokenKind::Word(word) => Some(word),
            _ => None,
        }
    }

    fn here(&mut self) -> usize {
        self.tokens.peek().map_or(self.at, |token| token.at)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        self.tokens
            .next_if(|token| matches!(token.kind, TokenKind::Sign(found) if found == sign))
            .is_some()
    }

    /// `.a.b` directly behind something.
    fn fields(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        let follows = |token: &Token| !token.after_space && matches!(token.kind, TokenKind::Field(_));
        while let Some(Token {
            kind: TokenKind::Field(name),
            ..
        }) = self.tokens.next_if(follows)
        {
            names.push(name);
        }
        names
    }

    fn name(&mut self) -> Result<String, RenderError> {
        let at = self.here();
        match self.tokens.next() {
            Some(Token {
                kind: TokenKind::Text(name),
                ..
            }) => Ok(name),
            _ => Err(wrong(at, "the name of a template is a string")),
        }
    }

    /// `$a :=`, `$a, $b :=`, `$a =`
    fn declarations(&mut self) -> (Vec<String>, bool) {
        let ahead: Vec<TokenKind> = self.tokens.clone().take(4).map(|token| token.kind).collect();
        let (names, assigns) = match ahead.as_slice() {
            [TokenKind::Variable(one), TokenKind::Sign(sign @ (":=" | "=")), ..] => (vec![one.clone()], *sign == "="),
            [
                TokenKind::Variable(one),
                TokenKind::Sign(","),
                TokenKind::Variable(two),
                TokenKind::Sign(sign @ (":=" | "=")),
            ] => (vec![one.clone(), two.clone()], *sign == "="),
            _ => return (Vec::new(), false),
        };
        for _ in 0..names.len() * 2 {
            self.tokens.next();
        }
        (names, assigns)
    }

    fn finish(&mut self) -> Result<(), RenderError> {
        match self.tokens.peek() {
            None => Ok(()),
            Some(token) => Err(wrong(token.at, "the action goes on after it is complete")),
        }
    }
}
