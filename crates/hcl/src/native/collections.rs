//! What stands in brackets: parentheses, arguments, tuples, objects and `for` expressions. Each recovers from errors inside of it as
//! long as its closing bracket exists, so that one wrong element does not hide the errors of the others.

use super::parser::{Failed, Parser};
use super::token::{Token, TokenKind};
use crate::diagnostic::Diagnostic;
use crate::syntax::{Expression, ExpressionKind, ForExpression, Name, ObjectKey};

impl Parser<'_> {
    /// Takes the closing token of the bracket at `opening`. When it does not stand here, complains and goes to it, if it exists.
    pub(super) fn close(&mut self, opening: usize, kind: TokenKind, what: &str) -> Result<(), Failed> {
        if self.accept(kind).is_none() {
            let failed = self.not_closed(opening, what);
            self.skip_to_close(opening).map_err(|_| failed)?;
            self.advance();
        }
        Ok(())
    }

    /// Complains that something else than a separator or the closing bracket stands here.
    fn not_closed(&mut self, opening: usize, what: &str) -> Failed {
        let bracket = self.token(opening);
        let token = self.peek();
        let found = self.describe(token);
        let closed = self.closing(opening).is_some();
        let close = match bracket.kind {
            TokenKind::OpenBracket => "]",
            TokenKind::OpenParenthesis => ")",
            _ => "}",
        };
        let mut complaint = Diagnostic::error(self.place(token), format!("{what} is not closed by `{close}` here"))
            .detail(format!("Found {found}."))
            .related(self.place(bracket), "opened here");
        if !closed {
            let end = self.text.len();
            complaint = complaint
                .related(
                    self.positions.place(end..end),
                    format!("no `{close}` for it up to here"),
                )
                .help(format!("add the missing `{close}`"));
        }
        self.complain(token, complaint)
    }

    /// The expression that was read inside of the bracket at `opening`; or, after an error, an invalid one in its place, if the
    /// bracket is closed. The parser then stands behind the bracket.
    pub(super) fn or_invalid_in(
        &mut self,
        opening: usize,
        result: Result<Expression, Failed>,
    ) -> Result<Expression, Failed> {
        if result.is_err() {
            let first = self.token(opening);
            self.skip_to_close(opening)?;
            self.advance();
            return Ok(Expression {
                kind: ExpressionKind::Invalid,
                place: self.place_since(first),
            });
        }
        result
    }

    /// `(expression)`
    pub(super) fn parenthesis(&mut self) -> Result<Expression, Failed> {
        let newlines = std::mem::replace(&mut self.newlines, false);
        let opening = self.at;
        let first = self.advance();
        let result = self.expression().and_then(|inner| {
            self.close(opening, TokenKind::CloseParenthesis, "the parenthesis")?;
            self.grow(self.height)?;
            let place = self.place_since(first);
            Ok(Expression {
                kind: ExpressionKind::Parenthesis(Box::new(inner)),
                place,
            })
        });
        let expression = self.or_invalid_in(opening, result);
        self.newlines = newlines;
        expression
    }

    /// `(a, b...)` of a call, and whether the last one is spread.
    pub(super) fn arguments(&mut self) -> Result<(Vec<Expression>, bool), Failed> {
        let newlines = std::mem::replace(&mut self.newlines, false);
        self.peek();
        let opening = self.at;
        self.advance();
        let mut arguments = Vec::new();
        let mut expand_last = false;
        let result = self.elements(opening, TokenKind::CloseParenthesis, "the call", |parser, argument| {
            arguments.push(argument);
            if parser.accept(TokenKind::Ellipsis).is_none() {
                return Ok(());
            }
            expand_last = true;
            if parser.next_is(TokenKind::CloseParenthesis) {
                return Ok(());
            }
            let help = "only the last argument can be spread; put `)` right after `...`".to_owned();
            Err(parser.unexpected("an argument spread by `...` is not the last one", help))
        });
        self.newlines = newlines;
        result.map(|()| (arguments, expand_last))
    }

    /// Elements separated by commas up to the closing token, which is taken too.
    fn elements(
        &mut self,
        opening: usize,
        close: TokenKind,
        what: &str,
        mut keep: impl FnMut(&mut Self, Expression) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let mut highest = 0;
        while !self.next_is(close) {
            let first = self.peek();
            if matches!(first.kind, TokenKind::CloseBrace | TokenKind::End) {
                return Err(self.not_closed(opening, what));
            }
            let element = self.expression();
            highest = highest.max(self.height);
            let kept = match element {
                Ok(element) => keep(self, element),
                Err(failed) => {
                    let place = self.place(first);
                    keep(
                        self,
                        Expression {
                            kind: ExpressionKind::Invalid,
                            place,
                        },
                    )
                    .and(Err(failed))
                }
            };
            if kept.is_err() {
                self.skip_element(opening, &[TokenKind::Comma])?;
            }
            if self.accept(TokenKind::Comma).is_some() || self.next_is(close) {
                continue;
            }
            if self.closing(opening).is_none() {
                return Err(self.not_closed(opening, what));
            }
            let help = self.separator_help("separate elements by `,`");
            self.unexpected("a comma is missing here", help);
            self.skip_element(opening, &[TokenKind::Comma])?;
            self.accept(TokenKind::Comma);
        }
        self.advance();
        self.grow(highest)
    }

    /// The help where a separator is missing: often a quote inside of a string has closed it.
    fn separator_help(&mut self, usual: &str) -> String {
        if self.after_quote() {
            super::expression::QUOTE_HELP
        } else {
            usual
        }
        .to_owned()
    }

    /// `[…]`
    pub(super) fn tuple_or_for(&mut self) -> Result<Expression, Failed> {
        let newlines = std::mem::replace(&mut self.newlines, false);
        let opening = self.at;
        let first = self.advance();
        let result = if self.next_is_word("for") {
            let result = self.deeper(|parser| parser.for_expression(opening, TokenKind::CloseBracket));
            self.or_invalid_in(opening, result)
        } else {
            let mut elements = Vec::new();
            let read = self.elements(opening, TokenKind::CloseBracket, "the list", |_, element| {
                elements.push(element);
                Ok(())
            });
            read.map(|()| Expression {
                kind: ExpressionKind::Tuple(elements),
                place: self.place_since(first),
            })
        };
        self.newlines = newlines;
        result
    }

    /// `{…}`
    pub(super) fn object_or_for(&mut self) -> Result<Expression, Failed> {
        let newlines = std::mem::replace(&mut self.newlines, false);
        let opening = self.at;
        let first = self.advance();
        let result = if self.next_is_word("for") {
            let result = self.deeper(|parser| parser.for_expression(opening, TokenKind::CloseBrace));
            self.or_invalid_in(opening, result)
        } else {
            let items = self.object_items(opening);
            items.map(|items| Expression {
                kind: ExpressionKind::Object(items),
                place: self.place_since(first),
            })
        };
        self.newlines = newlines;
        result
    }

    /// `key = value` separated by commas or line ends, up to the closing brace, which is taken too.
    fn object_items(&mut self, opening: usize) -> Result<Vec<(ObjectKey, Expression)>, Failed> {
        let separators = [TokenKind::Comma, TokenKind::Newline];
        let mut items = Vec::new();
        let mut highest = 0;
        loop {
            self.newlines = false;
            if self.accept(TokenKind::CloseBrace).is_some() {
                self.grow(highest)?;
                return Ok(items);
            }
            self.peek();
            self.newlines = true;
            if let Ok(item) = self.object_item(opening, &mut highest) {
                items.push(item);
            } else {
                self.newlines = true;
                self.skip_element(opening, &separators)?;
            }
            if self.next_is(TokenKind::CloseBrace) || separators.contains(&self.peek().kind) {
                if !self.next_is(TokenKind::CloseBrace) {
                    self.advance();
                }
                continue;
            }
            if self.closing(opening).is_none() {
                return Err(self.not_closed(opening, "the object"));
            }
            let help = self.separator_help("separate the items of an object by commas or line ends");
            self.unexpected("a comma is missing here", help);
            self.skip_element(opening, &separators)?;
        }
    }

    /// `key = value`
    fn object_item(&mut self, opening: usize, highest: &mut usize) -> Result<(ObjectKey, Expression), Failed> {
        let key = self.object_key()?;
        *highest = (*highest).max(self.height);
        if self.accept(TokenKind::Assign).is_none() && self.accept(TokenKind::Colon).is_none() {
            if self.next_is(TokenKind::End) {
                return Err(self.not_closed(opening, "the object"));
            }
            let help = "write each item as `key = value`".to_owned();
            return Err(self.unexpected("the key of an object is not followed by `=`", help));
        }
        if self.next_is(TokenKind::Newline) {
            self.unexpected(
                "this key has no value",
                "write the value on the line of its key".to_owned(),
            );
            return Err(Failed);
        }
        let value = self.expression()?;
        *highest = (*highest).max(self.height);
        Ok((key, value))
    }

    /// A bare name, or an expression.
    fn object_key(&mut self) -> Result<ObjectKey, Failed> {
        let token = self.peek();
        self.height = 1;
        if token.kind == TokenKind::Identifier
            && matches!(self.peek_second().kind, TokenKind::Assign | TokenKind::Colon)
        {
            self.advance();
            return Ok(ObjectKey::Name(self.name(token)));
        }
        if matches!(token.kind, TokenKind::Comma | TokenKind::Assign | TokenKind::Colon) {
            let help = "write each item as `key = value`".to_owned();
            return Err(self.unexpected("an object's key is missing here", help));
        }
        let key = self.expression()?;
        if matches!(key.kind, ExpressionKind::Attribute(..) | ExpressionKind::Index(..)) && names_something(&key) {
            let complaint = Diagnostic::error(key.place, "it is not clear what this key is meant to be")
                .detail("A key is either a single name, which is taken as it stands, or an expression in parentheses.")
                .help("put it in parentheses to use its value, or in quotes to use its text".to_owned());
            self.complain(token, complaint);
        }
        Ok(ObjectKey::Expression(key))
    }

    /// `for k, v in c : …` after the bracket at `opening`, with the closing token.
    fn for_expression(&mut self, opening: usize, close: TokenKind) -> Result<Expression, Failed> {
        let first = self.token(opening);
        self.advance();
        let (key_name, value_name) = self.for_names("for")?;
        let collection = self.expression()?;
        let mut highest = self.height;
        if self.accept(TokenKind::Colon).is_none() {
            let help = "a `for` has the form `[for value in collection : result]`".to_owned();
            return Err(self.unexpected("the `:` of a `for` is missing", help));
        }
        let mut value = self.expression()?;
        highest = highest.max(self.height);
        let key = self.for_key(&mut value, close)?;
        highest = highest.max(self.height);
        let group = self.group(close)?;
        let condition = if self.accept_word("if") {
            Some(self.expression()?)
        } else {
            None
        };
        highest = highest.max(self.height);
        self.close(opening, close, "the `for`")?;
        self.grow(highest)?;
        let of = ForExpression {
            key_name,
            value_name,
            collection,
            key,
            value,
            condition,
            group,
        };
        Ok(Expression {
            kind: ExpressionKind::For(Box::new(of)),
            place: self.place_since(first),
        })
    }

    /// `=> value` of an object's `for`: then what was read as the value is the key.
    fn for_key(&mut self, value: &mut Expression, close: TokenKind) -> Result<Option<Expression>, Failed> {
        let object = close == TokenKind::CloseBrace;
        match (self.next_is(TokenKind::Arrow), object) {
            (true, true) => {
                self.advance();
                let real = self.expression()?;
                Ok(Some(std::mem::replace(value, real)))
            }
            (true, false) => {
                let help =
                    "write `{for … : key => value}` to make an object, or only the value to make a list".to_owned();
                Err(self.unexpected("a `for` in `[ ]` has no `=>`", help))
            }
            (false, true) => {
                let help =
                    "write `{for … : key => value}` to make an object, or `[for … : value]` to make a list".to_owned();
                Err(self.unexpected("the `=>` of a `for` in `{ }` is missing", help))
            }
            (false, false) => Ok(None),
        }
    }

    /// `...` after the value of an object's `for`.
    fn group(&mut self, close: TokenKind) -> Result<bool, Failed> {
        if !self.next_is(TokenKind::Ellipsis) {
            return Ok(false);
        }
        if close == TokenKind::CloseBracket {
            let help = "`...` groups the values of one key, so it stands in `{for … : key => value...}`".to_owned();
            return Err(self.unexpected("a `for` in `[ ]` cannot group", help));
        }
        self.advance();
        Ok(true)
    }

    /// `v in` or `k, v in` of a `for`.
    pub(super) fn for_names(&mut self, what: &str) -> Result<(Option<Name>, Name), Failed> {
        let first = self.for_name(what)?;
        let (key, value) = match self.accept(TokenKind::Comma) {
            Some(_) => {
                let second = self.for_name(what)?;
                (Some(self.name(first)), self.name(second))
            }
            None => (None, self.name(first)),
        };
        if !self.accept_word("in") {
            let help = format!("write `{what} value in collection` or `{what} key, value in collection`");
            return Err(self.unexpected("the `in` of a `for` is missing", help));
        }
        Ok((key, value))
    }

    fn for_name(&mut self, what: &str) -> Result<Token, Failed> {
        match self.accept(TokenKind::Identifier) {
            Some(name) => Ok(name),
            None => Err(self.unexpected(
                format!("`{what}` is not followed by a name"),
                "name the element: `for value in …`".to_owned(),
            )),
        }
    }
}

/// True for a path of names from a variable on, `a.b[0]`.
fn names_something(mut expression: &Expression) -> bool {
    loop {
        expression = match &expression.kind {
            ExpressionKind::Variable(_) => return true,
            ExpressionKind::Attribute(base, _) | ExpressionKind::Index(base, _) => base,
            _ => return false,
        };
    }
}
