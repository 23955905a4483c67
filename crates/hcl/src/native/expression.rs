//! Expressions: conditions, operators by precedence, what follows a value (`.name`, `[i]`, splats), and the values themselves.

use super::parser::{Failed, Parser};
use super::token::{Token, TokenKind};
use crate::diagnostic::Diagnostic;
use crate::number::Number;
use crate::source::Place;
use crate::syntax::{BinaryOperator, Expression, ExpressionKind, Name, Operation, UnaryOperator};
use crate::types::Type;
use crate::value::Value;

/// The remedy for numbers in another notation.
/// What to do where something stands right behind a string.
pub(super) const QUOTE_HELP: &str = "a `\"` inside of a string is written `\\\"`";
pub(super) const NUMBER_HELP: &str = "numbers are decimal, without separators: `1000`, `0.5`, `1e6`";

/// A left operand and its operator, waiting for the right operand.
struct Waiting {
    left: Expression,
    height: usize,
    operator: BinaryOperator,
    level: u8,
}

impl Parser<'_> {
    /// An expression; `? :` binds loosest.
    pub(super) fn expression(&mut self) -> Result<Expression, Failed> {
        self.deeper(Self::conditional)
    }

    fn conditional(&mut self) -> Result<Expression, Failed> {
        let condition = self.binary()?;
        let mut highest = self.height;
        if self.accept(TokenKind::Question).is_none() {
            return Ok(condition);
        }
        let yes = self.operand("?")?;
        highest = highest.max(self.height);
        if self.accept(TokenKind::Colon).is_none() {
            let help = "a condition has the form `condition ? value if true : value if false`".to_owned();
            return Err(self.unexpected("the `:` of a `? :` is missing", help));
        }
        let no = self.operand(":")?;
        self.grow(highest.max(self.height))?;
        let place = condition.place.to(no.place);
        let kind = ExpressionKind::Conditional(Box::new(condition), Box::new(yes), Box::new(no));
        Ok(Expression { kind, place })
    }

    /// What follows `?` or `:`.
    fn operand(&mut self, after: &str) -> Result<Expression, Failed> {
        self.not_a_line_end(after)?;
        self.expression()
    }

    /// Operands and the operators between them. Operators that wait for their right operand are kept in a list instead of in calls
    /// of this function, so that nesting costs the same stack whatever the precedences are.
    fn binary(&mut self) -> Result<Expression, Failed> {
        let mut waiting: Vec<Waiting> = Vec::new();
        let mut right = self.unary()?;
        loop {
            let token = self.peek();
            let operator = binary_operator(token.kind);
            let level = operator.map_or(0, |(_, level)| level);
            while let Some(before) = waiting.pop_if(|before| before.level >= level) {
                right = self.operation(before, right)?;
            }
            let Some((operator, level)) = operator else {
                return Ok(right);
            };
            waiting.push(Waiting {
                left: right,
                height: self.height,
                operator,
                level,
            });
            self.advance();
            self.not_a_line_end(token.text(self.text))?;
            right = self.unary()?;
        }
    }

    /// The operation that has got its right operand. A chain of operations is one level high, however long it is.
    fn operation(&mut self, waiting: Waiting, operand: Expression) -> Result<Expression, Failed> {
        let place = waiting.left.place.to(operand.place);
        let highest_operand = self.height;
        let (first, mut operations) = if let ExpressionKind::Operations(first, operations) = waiting.left.kind {
            self.grow(highest_operand.max(waiting.height - 1))?;
            (first, operations)
        } else {
            self.grow(highest_operand.max(waiting.height))?;
            (Box::new(waiting.left), Vec::new())
        };
        operations.push(Operation {
            operator: waiting.operator,
            operand,
        });
        let kind = ExpressionKind::Operations(first, operations);
        Ok(Expression { kind, place })
    }

    /// Complains when the line ends after an operator, and goes on behind it unless something new begins there.
    fn not_a_line_end(&mut self, operator: &str) -> Result<(), Failed> {
        if !self.next_is(TokenKind::Newline) {
            return Ok(());
        }
        let help = "put the whole expression into parentheses to continue it on the next line".to_owned();
        self.unexpected(format!("the line ends after `{operator}`"), help);
        if self.item_follows() {
            return Err(Failed);
        }
        while self.next_is(TokenKind::Newline) {
            self.advance();
        }
        Ok(())
    }

    fn unary(&mut self) -> Result<Expression, Failed> {
        let token = self.peek();
        let operator = match token.kind {
            TokenKind::Minus => UnaryOperator::Negate,
            TokenKind::Not => UnaryOperator::Not,
            _ => {
                let value = self.value()?;
                return self.traversals(value);
            }
        };
        self.advance();
        let operand = self.deeper(Self::unary)?;
        self.grow(self.height)?;
        let place = self.place(token).to(operand.place);
        Ok(Expression {
            kind: ExpressionKind::Unary(operator, Box::new(operand)),
            place,
        })
    }

    /// What follows a value: attributes, indexes and splats.
    fn traversals(&mut self, mut base: Expression) -> Result<Expression, Failed> {
        loop {
            base = match self.peek().kind {
                TokenKind::Dot if self.peek_second().kind == TokenKind::Star => self.attribute_splat(base)?,
                TokenKind::Dot => self.member(base)?,
                TokenKind::OpenBracket if self.peek_second().kind == TokenKind::Star => self.full_splat(base)?,
                TokenKind::OpenBracket => self.index(base)?,
                _ => return Ok(base),
            };
        }
    }

    /// `.name` or `.0`
    fn member(&mut self, base: Expression) -> Result<Expression, Failed> {
        let highest = self.height;
        let dot = self.advance();
        let token = self.peek();
        let place = base.place.to(self.place(token));
        let kind = match token.kind {
            TokenKind::Identifier => ExpressionKind::Attribute(Box::new(base), self.name(token)),
            TokenKind::Number if matches!(&base.kind, ExpressionKind::Literal(value) if value.as_number().is_some()) => {
                let number = self.token(self.at.saturating_sub(2));
                let written = self
                    .text
                    .get(number.start as usize..token.end as usize)
                    .unwrap_or_default();
                let complaint = Diagnostic::error(place, format!("`{written}` is not a number"))
                    .help(format!("a version is a string: write `\"{written}\"`"));
                return Err(self.complain(token, complaint));
            }
            TokenKind::Number => {
                let index = self.legacy_index(token)?;
                ExpressionKind::Index(Box::new(base), Box::new(index))
            }
            _ => {
                let found = self.describe(token);
                let place = self.place(dot).to(self.place(token));
                let complaint = Diagnostic::error(place, "`.` is not followed by a name")
                    .detail(format!("Found {found}."))
                    .help("write `.name` for an attribute, or `[…]` for a computed one".to_owned());
                return Err(self.complain(token, complaint));
            }
        };
        self.advance();
        self.grow(highest)?;
        Ok(Expression { kind, place })
    }

    /// The number of `x.0`, at which the parser stands.
    fn legacy_index(&mut self, token: Token) -> Result<Expression, Failed> {
        let text = token.text(self.text);
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Expression {
                kind: self.number(token)?,
                place: self.place(token),
            });
        }
        let indexes = format!("[{}]", text.replace('.', "]["));
        let complaint = Diagnostic::error(self.place(token), "indexes after `.` cannot be chained")
            .detail(format!("`.{text}` reads like a fraction."))
            .help(format!("write `{indexes}`"));
        Err(self.complain(token, complaint))
    }

    /// `[i]`
    fn index(&mut self, base: Expression) -> Result<Expression, Failed> {
        let highest = self.height;
        let newlines = std::mem::replace(&mut self.newlines, false);
        let opening = self.at;
        self.advance();
        let result = self.expression().and_then(|index| {
            let highest = highest.max(self.height);
            self.close(opening, TokenKind::CloseBracket, "the index")?;
            self.grow(highest)?;
            Ok(index)
        });
        let index = self.or_invalid_in(opening, result);
        self.newlines = newlines;
        let place = base.place.to(self.last_place());
        Ok(Expression {
            kind: ExpressionKind::Index(Box::new(base), Box::new(index?)),
            place,
        })
    }

    /// `.*` and the attributes behind it, which are taken of each element.
    fn attribute_splat(&mut self, base: Expression) -> Result<Expression, Failed> {
        let highest = self.height;
        let dot = self.advance();
        let star = self.advance();
        self.height = 1;
        let mut rest = splat_element(self.place(dot).to(self.place(star)));
        while self.next_is(TokenKind::Dot) {
            if self.peek_second().kind == TokenKind::Star {
                self.advance();
                return Err(self.unexpected(
                    "a `.*` cannot follow another one",
                    "write `[*]`, which can be nested: `x[*].list[*].name`".to_owned(),
                ));
            }
            rest = self.member(rest)?;
        }
        self.splat(base, rest, highest)
    }

    /// `[*]` and everything behind it, which is taken of each element.
    fn full_splat(&mut self, base: Expression) -> Result<Expression, Failed> {
        let highest = self.height;
        let newlines = std::mem::replace(&mut self.newlines, false);
        let opening = self.at;
        let bracket = self.advance();
        self.advance();
        let closed = self.close(opening, TokenKind::CloseBracket, "the splat");
        self.newlines = newlines;
        closed?;
        let element = splat_element(self.place_since(bracket));
        self.height = 1;
        let rest = self.deeper(|parser| parser.traversals(element))?;
        self.splat(base, rest, highest)
    }

    fn splat(&mut self, base: Expression, rest: Expression, highest: usize) -> Result<Expression, Failed> {
        self.grow(highest.max(self.height))?;
        let place = base.place.to(rest.place);
        Ok(Expression {
            kind: ExpressionKind::Splat {
                source: Box::new(base),
                rest: Box::new(rest),
            },
            place,
        })
    }

    /// A value by itself.
    fn value(&mut self) -> Result<Expression, Failed> {
        let token = self.peek();
        self.height = 1;
        let kind = match token.kind {
            TokenKind::Number => self.number(token)?,
            TokenKind::Identifier => return self.named(),
            TokenKind::StringOpen => return self.quoted(),
            TokenKind::HeredocOpen => return self.heredoc(),
            TokenKind::OpenParenthesis => return self.parenthesis(),
            TokenKind::OpenBracket => return self.tuple_or_for(),
            TokenKind::OpenBrace => return self.object_or_for(),
            _ => return Err(self.no_value(token)),
        };
        self.advance();
        Ok(Expression {
            kind,
            place: self.place(token),
        })
    }

    fn number(&mut self, token: Token) -> Result<ExpressionKind, Failed> {
        let Some(number) = Number::parse(token.text(self.text)) else {
            let complaint = Diagnostic::error(self.place(token), "this number is out of range")
                .detail("Its exponent is larger than the language can hold.");
            return Err(self.complain(token, complaint));
        };
        Ok(ExpressionKind::Literal(Value::number(number)))
    }

    /// A keyword value, a function call or a variable.
    fn named(&mut self) -> Result<Expression, Failed> {
        let token = self.advance();
        if matches!(self.peek().kind, TokenKind::OpenParenthesis | TokenKind::DoubleColon) {
            return self.call(token);
        }
        let kind = match token.text(self.text) {
            "true" => ExpressionKind::Literal(Value::bool(true)),
            "false" => ExpressionKind::Literal(Value::bool(false)),
            "null" => ExpressionKind::Literal(Value::null(Type::Dynamic)),
            name => ExpressionKind::Variable(name.to_owned()),
        };
        Ok(Expression {
            kind,
            place: self.place(token),
        })
    }

    /// `(arguments)` after a function's name, or the rest of a name in a namespace before them.
    fn call(&mut self, first: Token) -> Result<Expression, Failed> {
        let mut name = self.name(first);
        while self.accept(TokenKind::DoubleColon).is_some() {
            let Some(part) = self.accept(TokenKind::Identifier) else {
                return Err(self.unexpected("`::` is not followed by a function's name", None));
            };
            name = Name {
                text: format!("{}::{}", name.text, part.text(self.text)),
                place: self.place_since(first),
            };
        }
        if !self.next_is(TokenKind::OpenParenthesis) {
            let help = format!("call the function: `{}(…)`", name.text);
            return Err(self.unexpected("a name with `::` is always a function", help));
        }
        let (arguments, expand_last) = self.arguments()?;
        Ok(Expression {
            kind: ExpressionKind::Call {
                name,
                arguments,
                expand_last,
            },
            place: self.place_since(first),
        })
    }

    fn no_value(&mut self, token: Token) -> Failed {
        let help = match token.kind {
            TokenKind::Newline | TokenKind::End => {
                Some("an expression that goes on on the next line stands in parentheses")
            }
            TokenKind::CloseParenthesis | TokenKind::CloseBracket | TokenKind::CloseBrace => {
                Some("a value is missing before it")
            }
            TokenKind::Dot => Some("write a zero before the point of a fraction: `0.5`"),
            TokenKind::Assign => Some("equality is tested by `==`"),
            TokenKind::Greater => Some("inequality is tested by `!=`"),
            TokenKind::Plus => Some("a number is written without a `+` before it"),
            TokenKind::SequenceEnd => {
                Some("write an expression between the braces, or `$${` for the characters themselves")
            }
            _ => None,
        };
        self.unexpected("a value is expected here", help.map(str::to_owned))
    }

    /// Complains that something stands behind a complete expression.
    pub(super) fn goes_on(&mut self) -> Failed {
        let next = self.peek();
        let help = match next.kind {
            _ if self.in_number() => NUMBER_HELP,
            _ if self.after_quote() => QUOTE_HELP,
            TokenKind::CloseParenthesis | TokenKind::CloseBracket | TokenKind::CloseBrace => "it closes nothing",
            _ => "an operator may be missing",
        };
        self.unexpected("the expression goes on after it is complete", help.to_owned())
    }

    /// True when the next token is a word right behind a number: `1_000`, `0x10`.
    pub(super) fn in_number(&mut self) -> bool {
        let next = self.peek();
        let before = self.token(self.at.saturating_sub(1));
        before.kind == TokenKind::Number && before.end == next.start && next.kind == TokenKind::Identifier
    }

    /// True when the next token is right behind a closing quote: `"echo "hi""`.
    pub(super) fn after_quote(&mut self) -> bool {
        let next = self.peek();
        let before = self.token(self.at.saturating_sub(1));
        before.kind == TokenKind::StringClose
            && before.end == next.start
            && matches!(
                next.kind,
                TokenKind::Identifier | TokenKind::Number | TokenKind::StringOpen
            )
    }

    /// The place of the token taken last.
    pub(super) fn last_place(&self) -> Place {
        self.place(self.token(self.at.saturating_sub(1)))
    }
}

fn splat_element(place: Place) -> Expression {
    Expression {
        kind: ExpressionKind::SplatElement,
        place,
    }
}

/// The operator of a token, and how tightly it binds, from 1.
fn binary_operator(kind: TokenKind) -> Option<(BinaryOperator, u8)> {
    Some(match kind {
        TokenKind::Or => (BinaryOperator::Or, 1),
        TokenKind::And => (BinaryOperator::And, 2),
        TokenKind::Equal => (BinaryOperator::Equal, 3),
        TokenKind::NotEqual => (BinaryOperator::NotEqual, 3),
        TokenKind::Less => (BinaryOperator::Less, 4),
        TokenKind::LessOrEqual => (BinaryOperator::LessOrEqual, 4),
        TokenKind::Greater => (BinaryOperator::Greater, 4),
        TokenKind::GreaterOrEqual => (BinaryOperator::GreaterOrEqual, 4),
        TokenKind::Plus => (BinaryOperator::Add, 5),
        TokenKind::Minus => (BinaryOperator::Subtract, 5),
        TokenKind::Star => (BinaryOperator::Multiply, 6),
        TokenKind::Slash => (BinaryOperator::Divide, 6),
        TokenKind::Percent => (BinaryOperator::Remainder, 6),
        _ => return None,
    })
}
