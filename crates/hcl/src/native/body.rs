//! Bodies: attributes and blocks, and what people write in their place.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::parser::{Failed, Parser};
use super::strings;
use super::token::{Token, TokenKind};
use crate::diagnostic::Diagnostic;
use crate::source::Place;
use crate::syntax::{Attribute, Block, Body, Item, Name, NativeBody};

impl<'t> Parser<'t> {
    /// A whole file.
    pub(super) fn file(&mut self) -> NativeBody {
        let mut items = Vec::new();
        loop {
            self.items(&mut items);
            // Only a brace without a block to close is left to stop at.
            if !self.next_is(TokenKind::CloseBrace) {
                break;
            }
            let brace = self.peek();
            self.item_start = brace.start;
            self.unexpected(
                "this `}` closes nothing",
                "remove it, or add the `{` that is missing above".to_owned(),
            );
            self.advance();
        }
        let end = self.text.len();
        NativeBody {
            items,
            place: self.positions.place(0..end),
            incomplete: self.positions.place(end..end),
        }
    }

    /// Items up to the end of the body, at which the parser then stands.
    fn items(&mut self, items: &mut Vec<Item>) {
        let mut seen: HashMap<&'t str, Place> = HashMap::new();
        loop {
            self.newlines = true;
            let start = self.at;
            let token = self.peek();
            self.item_start = token.start;
            let item = match token.kind {
                TokenKind::End | TokenKind::CloseBrace => return,
                TokenKind::Newline => {
                    self.advance();
                    continue;
                }
                TokenKind::Identifier => self.item(),
                _ => Err(self.not_an_item(token)),
            };
            let finished = item.and_then(|item| {
                self.keep(item, token, items, &mut seen);
                self.item_end(token)
            });
            if finished.is_err() {
                self.newlines = true;
                self.skip_item(start);
            }
        }
    }

    /// Keeps an item, unless it is an attribute that the body has already.
    fn keep(&mut self, item: Item, name: Token, items: &mut Vec<Item>, seen: &mut HashMap<&'t str, Place>) {
        if let Item::Attribute(attribute) = &item {
            match seen.entry(name.text(self.text)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(attribute.name.place);
                }
                Entry::Occupied(first) => {
                    let complaint =
                        Diagnostic::error(attribute.name.place, format!("`{}` is set twice", attribute.name.text))
                            .detail("Each argument may be set only once in a block.")
                            .related(*first.get(), "first set here");
                    self.complain(name, complaint);
                    return;
                }
            }
        }
        items.push(item);
    }

    /// The line must end after an item.
    fn item_end(&mut self, item: Token) -> Result<(), Failed> {
        let next = self.peek();
        if matches!(next.kind, TokenKind::Newline | TokenKind::End) {
            return Ok(());
        }
        let name = item.text(self.text).to_owned();
        let help = match next.kind {
            _ if self.in_number() => super::expression::NUMBER_HELP.to_owned(),
            _ if self.after_quote() => super::expression::QUOTE_HELP.to_owned(),
            TokenKind::Comma => "arguments of a block are separated by line ends, without commas".to_owned(),
            TokenKind::CloseBrace => "put the closing `}` on a line of its own".to_owned(),
            TokenKind::Identifier => "put each argument on a line of its own".to_owned(),
            _ => "end the line here; an operator may be missing".to_owned(),
        };
        Err(self.unexpected(format!("the line goes on after `{name}` is complete"), help))
    }

    /// `name = expression` or `type labels { … }`; the parser stands at the name.
    fn item(&mut self) -> Result<Item, Failed> {
        let name = self.advance();
        match self.peek().kind {
            TokenKind::Assign => Ok(Item::Attribute(self.attribute(name)?)),
            TokenKind::OpenBrace | TokenKind::StringOpen | TokenKind::Identifier => self.block(name).map(Item::Block),
            TokenKind::Newline if self.brace_follows() => self.block(name).map(Item::Block),
            _ => Err(self.neither_argument_nor_block(name)),
        }
    }

    /// `= expression` after a name.
    fn attribute(&mut self, name: Token) -> Result<Attribute, Failed> {
        self.advance();
        let word = name.text(self.text);
        if self.next_is(TokenKind::Newline) || self.next_is(TokenKind::End) {
            let help = format!("write the value of `{word}` on the same line");
            self.unexpected(format!("`{word}` has no value"), help);
            if self.item_follows() {
                return Err(Failed);
            }
            while self.next_is(TokenKind::Newline) {
                self.advance();
            }
        }
        let expression = self.expression()?;
        Ok(Attribute {
            name: self.name(name),
            expression,
            place: self.place_since(name),
        })
    }

    /// A word with its place.
    pub(super) fn name(&self, token: Token) -> Name {
        Name {
            text: token.text(self.text).to_owned(),
            place: self.place(token),
        }
    }

    /// Labels and body of a block after its type.
    fn block(&mut self, kind: Token) -> Result<Block, Failed> {
        let mut labels = Vec::new();
        loop {
            match self.peek().kind {
                TokenKind::Identifier => {
                    let label = self.advance();
                    labels.push(self.name(label));
                }
                TokenKind::StringOpen => labels.push(self.label()?),
                _ => break,
            }
        }
        let place = self.place_since(kind);
        self.opening_brace(kind)?;
        let opening = self.at;
        let brace = self.advance();
        let mut items = Vec::new();
        self.deeper(|parser| parser.block_body(kind, opening, &mut items))?;
        let end = self.token(self.at);
        let inside = self
            .positions
            .place(brace.end as usize..end.start.max(brace.end) as usize);
        if end.kind == TokenKind::CloseBrace {
            self.advance();
        }
        let body = Body::Native(NativeBody {
            items,
            place: inside,
            incomplete: place,
        });
        Ok(Block {
            kind: self.name(kind),
            labels,
            body,
            place,
        })
    }

    /// Goes to the `{` of a block, complaining when it is not where it must be.
    fn opening_brace(&mut self, kind: Token) -> Result<(), Failed> {
        let word = kind.text(self.text).to_owned();
        match self.peek().kind {
            TokenKind::OpenBrace => Ok(()),
            TokenKind::Newline => {
                self.unexpected(
                    format!("the block `{word}` has no `{{` on its first line"),
                    "put the opening `{` on the line of the block's type; an argument is set by `name = value`"
                        .to_owned(),
                );
                if !self.brace_follows() {
                    return Err(Failed);
                }
                while self.next_is(TokenKind::Newline) {
                    self.advance();
                }
                Ok(())
            }
            TokenKind::Assign => Err(self.unexpected(
                format!("`{word}` is followed by a label and by `=`"),
                "write `name = value` for an argument, or `type \"label\" { … }` for a block".to_owned(),
            )),
            TokenKind::End => Err(self.unexpected(format!("the block `{word}` has no body"), "add `{ … }`".to_owned())),
            _ => Err(self.unexpected(
                format!("the labels of the block `{word}` are followed by something else than `{{`"),
                "labels are words or strings, separated by spaces".to_owned(),
            )),
        }
    }

    /// A quoted label: text without interpolation.
    fn label(&mut self) -> Result<Name, Failed> {
        let opening = self.at;
        let quote = self.advance();
        let text = self.accept(TokenKind::Text);
        if !self.next_is(TokenKind::StringClose) {
            let help = "labels are fixed names; write the text itself".to_owned();
            let token = self.peek();
            let complaint = Diagnostic::error(self.place(token), "a label cannot be computed")
                .detail("`${ … }` and `%{ … }` are not evaluated in the labels of a block.")
                .help(help);
            self.complain(token, complaint);
            self.skip_to_close(opening)?;
        }
        self.advance();
        let raw = text.map_or("", |token| token.text(self.text));
        let start = text.map_or(0, |token| token.start as usize);
        let text = self.unescaped(raw, start, true);
        Ok(Name {
            text,
            place: self.place_since(quote),
        })
    }

    /// Literal text with its escapes resolved, complaining about bad ones.
    pub(super) fn unescaped(&mut self, raw: &str, start: usize, backslashes: bool) -> String {
        let mut bad = Vec::new();
        let text = strings::unescape(raw, backslashes, |range, why| bad.push((range, why)));
        for (range, why) in bad {
            let place = self.positions.place(start + range.start..start + range.end);
            let offset = |at: usize| u32::try_from(start + at).unwrap_or(u32::MAX);
            let token = Token {
                kind: TokenKind::Text,
                start: offset(range.start),
                end: offset(range.end),
            };
            let written = raw.get(range).unwrap_or("").to_owned();
            self.complain(token, strings::bad_escape(&written, why, place));
        }
        text
    }

    /// The items of a block after its `{`, up to its `}`, at which the parser then stands.
    fn block_body(&mut self, kind: Token, opening: usize, items: &mut Vec<Item>) -> Result<(), Failed> {
        match self.peek().kind {
            TokenKind::CloseBrace => return Ok(()),
            TokenKind::Newline | TokenKind::End => {}
            _ => {
                if self.one_line_body(opening, items)? {
                    return Ok(());
                }
            }
        }
        self.items(items);
        if self.next_is(TokenKind::End) {
            let brace = self.token(opening);
            let header = self.positions.place(kind.start as usize..brace.end as usize);
            let end = self.peek();
            let mut complaint =
                Diagnostic::error(header, format!("the block `{}` is never closed", kind.text(self.text)))
                    .detail("No `}` closes it up to the end of the text.");
            complaint = match self.suspicious_header(items, kind) {
                Some(place) => {
                    complaint.related(place, "a `}` may be missing before this line: it is indented no further than the block that is not closed")
                }
                None => complaint.related(self.place(end), "the text ends here"),
            };
            // When the lexer ran into the end of the text, that is why no brace was found.
            if !self.swallowed_the_end() {
                self.item_start = kind.start;
                self.complain(kind, complaint.help("add the missing `}`".to_owned()));
            }
        }
        Ok(())
    }

    /// The first block inside of an unclosed one that does not begin further right than that: it was probably meant to follow it.
    fn suspicious_header(&self, items: &[Item], kind: Token) -> Option<Place> {
        let column = |at: u32| {
            let before = self.text.get(..at as usize).unwrap_or("");
            before.len() - before.rfind('\n').map_or(0, |line| line + 1)
        };
        let limit = column(kind.start);
        let offset = self.place(kind).start.saturating_sub(kind.start);
        items.iter().find_map(|item| match item {
            Item::Block(block) if column(block.place.start.saturating_sub(offset)) <= limit => Some(block.place),
            _ => None,
        })
    }

    /// `{ name = value }` on one line: true when it was one. When there is more in it, complains and lets the caller read it like
    /// a body of several lines.
    fn one_line_body(&mut self, opening: usize, items: &mut Vec<Item>) -> Result<bool, Failed> {
        let name = self.peek();
        if name.kind != TokenKind::Identifier || self.peek_second().kind != TokenKind::Assign {
            let help = "begin a new line after `{`, and put each item on a line of its own".to_owned();
            self.unexpected("a block on one line holds a single argument", help);
            self.skip_to_close(opening)?;
            return Ok(true);
        }
        self.advance();
        let attribute = match self.attribute(name) {
            Ok(attribute) => attribute,
            Err(failed) => return self.skip_to_close(opening).map(|()| true).map_err(|_| failed),
        };
        items.push(Item::Attribute(attribute));
        if self.next_is(TokenKind::CloseBrace) {
            return Ok(true);
        }
        let help =
            "begin a new line after `{`, and put each argument and the closing `}` on lines of their own".to_owned();
        self.unexpected("a block on one line holds a single argument", help);
        if self.next_is(TokenKind::Newline) {
            return Ok(false);
        }
        self.skip_to_close(opening)?;
        Ok(true)
    }

    fn neither_argument_nor_block(&mut self, name: Token) -> Failed {
        let word = name.text(self.text).to_owned();
        let next = self.peek();
        match next.kind {
            TokenKind::Newline | TokenKind::End | TokenKind::CloseBrace => {
                let place = self.place(name);
                let complaint = Diagnostic::error(place, format!("`{word}` alone is neither an argument nor a block"))
                    .help(format!("write `{word} = …` to set it, or `{word} {{ … }}` for a block"));
                self.complain(name, complaint)
            }
            TokenKind::Dot => self.unexpected(
                format!("`{word}` is followed by `.`"),
                "the name of an argument is a single word; set an attribute of an object as `name = { key = value }`"
                    .to_owned(),
            ),
            TokenKind::OpenBracket => self.unexpected(
                format!("`{word}` is followed by `[`"),
                "an argument is set as a whole: `name = [ … ]`".to_owned(),
            ),
            _ => self.unexpected(
                format!("`{word}` is followed neither by `=` nor by a block"),
                format!("write `{word} = value` to set it"),
            ),
        }
    }

    fn not_an_item(&mut self, token: Token) -> Failed {
        if token.kind == TokenKind::StringOpen {
            let help = "remove the quotes around the name".to_owned();
            return self.unexpected("the name of an argument is written without quotes", help);
        }
        let found = self.describe(token);
        let complaint = Diagnostic::error(self.place(token), "an argument or a block is expected here").detail(
            format!("Found {found}. Each begins with a name: a letter or `_`, then letters, digits, `_` and `-`."),
        );
        self.complain(token, complaint)
    }
}
