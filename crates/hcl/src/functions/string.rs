//! Functions on text. Positions and lengths count what a reader sees as one character (grapheme clusters); comparisons are bytewise.

use unicode_segmentation::UnicodeSegmentation;

use super::arguments::{bounded, countable, failed, number, text, texts, wrong};
use super::letters;
use super::{Call, Function, FunctionError, Returns, Run};
use crate::types::Type;
use crate::value::{Kind, Value};

/// Text.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "chomp",
        doc: "Removes all line ends (`\\n`, `\\r`) at the end of a string.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("chomp(\"hello\\r\\n\\n\")", "hello")],
        run: Run::Plain(|call| Ok(Value::string(call.text(0)?.trim_end_matches(['\r', '\n'])))),
    },
    Function {
        name: "endswith",
        doc: "Tells whether a string ends with another one.",
        parameters: &[text("string"), text("suffix")],
        variadic: None,
        result: Returns::BOOL,
        examples: &[("endswith(\"web.pkr.hcl\", \".hcl\")", "true")],
        run: Run::Plain(|call| Ok(Value::bool(call.text(0)?.ends_with(call.text(1)?)))),
    },
    Function {
        name: "indent",
        doc: "Adds that many spaces after every line end, so that all lines but the first are indented.",
        parameters: &[number("spaces"), text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("indent(2, \"a\\nb\")", "a\n  b")],
        run: Run::Plain(indent),
    },
    Function {
        name: "join",
        doc: "Makes one string of the elements of one or more lists, with a separator between them.",
        parameters: &[text("separator")],
        variadic: Some(&texts("lists")),
        result: Returns::STRING,
        examples: &[("join(\", \", [\"a\", \"b\"], [\"c\"])", "a, b, c")],
        run: Run::Plain(join),
    },
    Function {
        name: "lower",
        doc: "Turns letters into lower case, one by one.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("lower(\"ÀB\")", "àb")],
        run: Run::Plain(|call| {
            Ok(Value::string(
                call.text(0)?.chars().map(letters::lower).collect::<String>(),
            ))
        }),
    },
    Function {
        name: "replace",
        doc: "Replaces every occurrence of a substring by another one; no regular expressions, see `regex_replace`.",
        parameters: &[text("string"), text("old"), text("new")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("replace(\"1 + 2 + 3\", \"+\", \"-\")", "1 - 2 - 3")],
        run: Run::Plain(replace),
    },
    Function {
        name: "split",
        doc: "Cuts a string at every occurrence of a separator; with an empty separator into its characters.",
        parameters: &[text("separator"), text("string")],
        variadic: None,
        result: Returns::STRINGS,
        examples: &[("split(\",\", \"a,b\")[1]", "b")],
        run: Run::Plain(split),
    },
    Function {
        name: "startswith",
        doc: "Tells whether a string starts with another one.",
        parameters: &[text("string"), text("prefix")],
        variadic: None,
        result: Returns::BOOL,
        examples: &[("startswith(\"ami-0123\", \"ami-\")", "true")],
        run: Run::Plain(|call| Ok(Value::bool(call.text(0)?.starts_with(call.text(1)?)))),
    },
    Function {
        name: "strcontains",
        doc: "Tells whether a string contains another one.",
        parameters: &[text("string"), text("part")],
        variadic: None,
        result: Returns::BOOL,
        examples: &[("strcontains(\"hello\", \"ell\")", "true")],
        run: Run::Plain(|call| Ok(Value::bool(call.text(0)?.contains(call.text(1)?)))),
    },
    Function {
        name: "strrev",
        doc: "Reverses the characters of a string.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("strrev(\"hello\")", "olleh")],
        run: Run::Plain(|call| Ok(Value::string(call.text(0)?.graphemes(true).rev().collect::<String>()))),
    },
    Function {
        name: "substr",
        doc: "Takes that many characters from an offset on. A negative offset counts from the end, a negative length \
              means all the rest.",
        parameters: &[text("string"), number("offset"), number("length")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("substr(\"hello\", 1, 3)", "ell"), ("substr(\"hello\", -3, -1)", "llo")],
        run: Run::Plain(substr),
    },
    Function {
        name: "title",
        doc: "Turns the first letter of every word into upper case.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("title(\"hello world\")", "Hello World")],
        run: Run::Plain(|call| Ok(Value::string(letters::title(call.text(0)?)))),
    },
    Function {
        name: "trim",
        doc: "Removes all characters of a set from both ends of a string.",
        parameters: &[text("string"), text("characters")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("trim(\"?!hello?!\", \"!?\")", "hello")],
        run: Run::Plain(|call| {
            let characters: Vec<char> = call.text(1)?.chars().collect();
            Ok(Value::string(call.text(0)?.trim_matches(&*characters)))
        }),
    },
    Function {
        name: "trimprefix",
        doc: "Removes a prefix from the start of a string, once, if it is there.",
        parameters: &[text("string"), text("prefix")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("trimprefix(\"helloworld\", \"hello\")", "world")],
        run: Run::Plain(|call| {
            let whole = call.text(0)?;
            Ok(Value::string(whole.strip_prefix(call.text(1)?).unwrap_or(whole)))
        }),
    },
    Function {
        name: "trimspace",
        doc: "Removes white space (as Unicode has it) from both ends of a string.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("trimspace(\"  hello\\n\")", "hello")],
        run: Run::Plain(|call| Ok(Value::string(call.text(0)?.trim()))),
    },
    Function {
        name: "trimsuffix",
        doc: "Removes a suffix from the end of a string, once, if it is there.",
        parameters: &[text("string"), text("suffix")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("trimsuffix(\"web.pkr.hcl\", \".pkr.hcl\")", "web")],
        run: Run::Plain(|call| {
            let whole = call.text(0)?;
            Ok(Value::string(whole.strip_suffix(call.text(1)?).unwrap_or(whole)))
        }),
    },
    Function {
        name: "upper",
        doc: "Turns letters into upper case, one by one: `ß`, which has no upper case of its own, stays.",
        parameters: &[text("string")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("upper(\"groß\")", "GROß")],
        run: Run::Plain(|call| {
            Ok(Value::string(
                call.text(0)?.chars().map(letters::upper).collect::<String>(),
            ))
        }),
    },
];

fn indent(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (spaces, whole) = (call.integer(0)?, call.text(1)?);
    let spaces = usize::try_from(spaces).map_err(|_| failed("the number of spaces must not be negative"))?;
    let line_ends = whole.bytes().filter(|byte| *byte == b'\n').count();
    bounded(spaces.saturating_mul(line_ends).saturating_add(whole.len()))?;
    // Without a line end nothing is added, however many spaces were asked for.
    let spaces = if line_ends == 0 { 0 } else { spaces };
    Ok(Value::string(whole.replace('\n', &format!("\n{}", " ".repeat(spaces)))))
}

fn join(call: &Call<'_>) -> Result<Value, FunctionError> {
    let separator = call.text(0)?;
    let lists = call.arguments.get(1..).unwrap_or_default();
    if lists.is_empty() {
        return Err(failed("at least one list is required"));
    }
    let mut parts = Vec::new();
    for (index, list) in lists.iter().enumerate() {
        for (place, element) in list.elements().unwrap_or_default().iter().enumerate() {
            match &element.kind {
                Kind::String(part) => parts.push(&**part),
                Kind::Unknown(_) => return Ok(Value::unknown(Type::String)),
                _ => {
                    return Err(wrong(
                        index + 1,
                        format!("element {place} is null; a null cannot be joined"),
                    ));
                }
            }
        }
    }
    bounded(parts.iter().map(|part| part.len() + separator.len()).sum())?;
    Ok(Value::string(parts.join(separator)))
}

fn replace(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (whole, old, new) = (call.text(0)?, call.text(1)?, call.text(2)?);
    let places = if old.is_empty() {
        whole.len() + 1
    } else {
        whole.len() / old.len()
    };
    if places.saturating_mul(new.len()) > whole.len() {
        // Only the worst case is too much: count before giving up.
        bounded(
            whole
                .matches(old)
                .count()
                .saturating_mul(new.len())
                .saturating_add(whole.len()),
        )?;
    }
    Ok(Value::string(whole.replace(old, new)))
}

fn split(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (separator, whole) = (call.text(0)?, call.text(1)?);
    countable(if separator.is_empty() {
        whole.len()
    } else {
        whole.matches(separator).count()
    })?;
    let parts: Vec<Value> = if separator.is_empty() {
        whole
            .chars()
            .map(|character| Value::string(character.to_string()))
            .collect()
    } else {
        whole.split(separator).map(Value::string).collect()
    };
    Ok(Value::list(Type::String, parts))
}

fn substr(call: &Call<'_>) -> Result<Value, FunctionError> {
    let (whole, offset, length) = (call.text(0)?, call.integer(1)?, call.integer(2)?);
    let skipped = if offset < 0 {
        let back = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
        whole.graphemes(true).count().saturating_sub(back)
    } else {
        usize::try_from(offset).unwrap_or(usize::MAX)
    };
    // No length from the end on is as good as a negative one; it has always been so.
    let length = if length == 0 && offset < 0 { -1 } else { length };
    let taken = usize::try_from(length).unwrap_or(usize::MAX);
    Ok(Value::string(
        whole.graphemes(true).skip(skipped).take(taken).collect::<String>(),
    ))
}
