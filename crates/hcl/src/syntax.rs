//! The syntax tree, one for HCL, `.pkr.json` and legacy JSON: about twenty kinds of node, each with its place.
//! `native` and `json` lower their texts into it; the evaluator knows nothing else.

use crate::diagnostic::Diagnostics;
use crate::source::Place;
use crate::value::Value;

/// A word of the template with its place: an attribute's name, a block's type, a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The word, unquoted.
    pub text: String,
    /// Where it stands.
    pub place: Place,
}

/// The content of a file or of a block. What a JSON property is (attribute or block) only a schema can tell:
/// read a body through [`Body::content`] or [`Body::attributes`] (in `content.rs`), never by hand.
#[derive(Debug, Clone)]
pub enum Body {
    /// From native syntax.
    Native(NativeBody),
    /// From JSON: an object, or an array of objects whose properties are taken together.
    Json(JsonBody),
}

/// Items of a native body in the order of the text.
#[derive(Debug, Clone)]
pub struct NativeBody {
    /// Attributes and blocks.
    pub items: Vec<Item>,
    /// The text between the braces, or the whole file.
    pub place: Place,
    /// Where an argument that is missing is reported: at the header of the block, or at the end of the file.
    pub incomplete: Place,
}

/// One item of a native body.
#[derive(Debug, Clone)]
pub enum Item {
    /// `name = expression`
    Attribute(Attribute),
    /// `type labels { … }`
    Block(Block),
}

/// `name = expression`
#[derive(Debug, Clone)]
pub struct Attribute {
    /// The name.
    pub name: Name,
    /// The value.
    pub expression: Expression,
    /// Name and value.
    pub place: Place,
}

/// `type "label" … { body }`
#[derive(Debug, Clone)]
pub struct Block {
    /// The type.
    pub kind: Name,
    /// The labels, in order.
    pub labels: Vec<Name>,
    /// What is between the braces.
    pub body: Body,
    /// The header: type and labels.
    pub place: Place,
}

/// A JSON object as a body.
#[derive(Debug, Clone)]
pub struct JsonBody {
    /// The properties in the order of the text; a name may repeat.
    pub properties: Vec<(Name, JsonValue)>,
    /// The braces and what is between them.
    pub place: Place,
}

/// A JSON value with its place.
#[derive(Debug, Clone)]
pub struct JsonValue {
    /// What it is.
    pub kind: JsonKind,
    /// Where it stands.
    pub place: Place,
}

/// What a JSON value is. Numbers keep their text: the language's precision is wider than that of a float.
#[derive(Debug, Clone)]
pub enum JsonKind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number as written.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<JsonValue>),
    /// An object; a name may repeat.
    Object(Vec<(Name, JsonValue)>),
}

/// An expression with its place.
#[derive(Debug, Clone)]
pub struct Expression {
    /// What it is.
    pub kind: ExpressionKind,
    /// Where it stands.
    pub place: Place,
}

/// What an expression is.
#[derive(Debug, Clone)]
pub enum ExpressionKind {
    /// A number, bool, null, or a string without interpolation.
    Literal(Value),
    /// A quoted string or heredoc with interpolations or directives.
    Template(Vec<TemplatePart>),
    /// `[a, b]`
    Tuple(Vec<Expression>),
    /// `{ k = v }`
    Object(Vec<(ObjectKey, Expression)>),
    /// A root name: `var`, a `for` variable.
    Variable(String),
    /// `x.name`
    Attribute(Box<Expression>, Name),
    /// `x[i]`, and the legacy `x.0` (with a literal index)
    Index(Box<Expression>, Box<Expression>),
    /// `x[*].a[0]` (`full`) and `x.*.a`: `rest` is applied to each element and refers to it by [`ExpressionKind::SplatElement`].
    Splat {
        /// What is splatted.
        source: Box<Expression>,
        /// What is done to each element.
        rest: Box<Expression>,
    },
    /// The element inside of the `rest` of the innermost splat.
    SplatElement,
    /// `condition ? yes : no`
    Conditional(Box<Expression>, Box<Expression>, Box<Expression>),
    /// `a + b`, `a * b + c`: a first operand and what is done to it, one operation after the other. A chain is a list and not a tree
    /// of pairs, so that one of any length is walked and dropped without recursion.
    Operations(Box<Expression>, Vec<Operation>),
    /// `-a`, `!a`
    Unary(UnaryOperator, Box<Expression>),
    /// `name(a, b...)`
    Call {
        /// The function, with its namespace if one was written (`a::b`).
        name: Name,
        /// The arguments.
        arguments: Vec<Expression>,
        /// The last argument is a sequence to be spread.
        expand_last: bool,
    },
    /// `[for …]`, `{for …}`
    For(Box<ForExpression>),
    /// `(a)`; kept, because an object key in parentheses is an expression and a bare one is a name.
    Parenthesis(Box<Expression>),
    /// A string of a `.pkr.json` file: a template when evaluated with a scope, plain text without one.
    JsonString(Box<Expression>, String),
    /// An expression that could not be read: its errors are reported already, it evaluates to unknown.
    Invalid,
    /// The same, but its errors are not reported yet: whoever evaluates it reports them. Only found as the template of a
    /// [`ExpressionKind::JsonString`], which is not an error as long as the string is taken as plain text.
    Unreadable(Diagnostics),
}

/// What is done to the value so far: `+ b`.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The operator.
    pub operator: BinaryOperator,
    /// Its right operand.
    pub operand: Expression,
}

/// A key of an object constructor.
#[derive(Debug, Clone)]
pub enum ObjectKey {
    /// A bare name, taken literally.
    Name(Name),
    /// Anything else.
    Expression(Expression),
}

/// One part of a template, strip markers and heredoc indentation already applied.
#[derive(Debug, Clone)]
pub enum TemplatePart {
    /// Text as it stands.
    Literal(String),
    /// `${ … }`
    Interpolation(Expression),
    /// `%{ if … }…%{ else }…%{ endif }`
    If {
        /// The condition.
        condition: Expression,
        /// When true.
        yes: Vec<TemplatePart>,
        /// When false.
        no: Vec<TemplatePart>,
    },
    /// `%{ for k, v in … }…%{ endfor }`
    For {
        /// The first name, when two are given.
        key: Option<Name>,
        /// The name of the element.
        value: Name,
        /// What is iterated.
        collection: Expression,
        /// The body.
        body: Vec<TemplatePart>,
    },
}

/// `[for k, v in c : e if cond]`, `{for k, v in c : key => value... if cond}`
#[derive(Debug, Clone)]
pub struct ForExpression {
    /// The first name, when two are given.
    pub key_name: Option<Name>,
    /// The name of the element.
    pub value_name: Name,
    /// What is iterated.
    pub collection: Expression,
    /// The key of an object; absent for a tuple.
    pub key: Option<Expression>,
    /// The element.
    pub value: Expression,
    /// `if …`
    pub condition: Option<Expression>,
    /// `...` after the value: values of one key are grouped.
    pub group: bool,
}

/// Operators of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryOperator {
    /// `||`
    Or,
    /// `&&`
    And,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
}

/// Operators of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOperator {
    /// `!`
    Not,
    /// `-`
    Negate,
}
