//! `csvdecode`. By hand: the `csv` crate reads texts with stray or unclosed quotes without complaint, where they are errors here.

use std::collections::BTreeSet;

use super::arguments::{bounded, countable, failed, shown, text};
use super::{Call, Function, FunctionError, Returns, Run};
use crate::types::Type;
use crate::value::Value;

/// CSV.
pub(super) static GROUP: &[Function] = &[Function {
    name: "csvdecode",
    doc: "A list of objects, one for each line of a CSV string; the first line names the columns. All values are strings.",
    parameters: &[text("csv")],
    variadic: None,
    result: Returns::Varies("list(object)"),
    examples: &[("csvdecode(\"name,size\\nweb,8\\ndb,64\")[1].size", "64")],
    run: Run::Plain(csvdecode),
}];

fn csvdecode(call: &Call<'_>) -> Result<Value, FunctionError> {
    let mut records = Records {
        rest: call.text(0)?,
        line: 1,
    };
    let header = records
        .next()
        .ok_or_else(|| failed("a header line is required"))?
        .map_err(failed)?
        .fields;
    let mut names = BTreeSet::new();
    if let Some(twice) = header.iter().find(|name| !names.insert(*name)) {
        return Err(failed(format!("the header has more than one column {}", shown(twice))));
    }
    let mut objects = Vec::new();
    let names_length: usize = header.iter().map(String::len).sum();
    for record in records {
        let record = record.map_err(failed)?;
        if record.fields.len() != header.len() {
            let (found, wanted) = (record.fields.len(), header.len());
            return Err(failed(format!(
                "line {} has {found} fields, the header {wanted}",
                record.line
            )));
        }
        countable(header.len().saturating_mul(objects.len() + 1))?;
        bounded(names_length.saturating_mul(objects.len() + 1))?;
        objects.push(Value::object(
            header.iter().zip(record.fields.into_iter().map(Value::string)),
        ));
    }
    let kind = Type::object(header.iter().map(|name| (name.as_str(), Type::String)));
    Ok(Value::list(kind, objects))
}

/// One record and the line on which it starts.
#[derive(Debug, PartialEq)]
struct Record {
    line: usize,
    fields: Vec<String>,
}

/// The records of a CSV text (RFC 4180); empty lines are skipped.
struct Records<'a> {
    rest: &'a str,
    line: usize,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(rest) = self.rest.strip_prefix("\r\n").or_else(|| self.rest.strip_prefix('\n')) {
            self.rest = rest;
            self.line += 1;
        }
        if self.rest.is_empty() || self.rest == "\r" {
            return None;
        }
        let line = self.line;
        let mut fields = Vec::new();
        loop {
            let more = match self.field() {
                Ok((field, more)) => {
                    fields.push(field);
                    more
                }
                Err(message) => {
                    let message = format!("line {}: {message}", self.line);
                    self.rest = "";
                    return Some(Err(message));
                }
            };
            if !more {
                return Some(Ok(Record { line, fields }));
            }
        }
    }
}

impl Records<'_> {
    /// The next field, and whether another one follows in the same record.
    fn field(&mut self) -> Result<(String, bool), &'static str> {
        match self.rest.strip_prefix('"') {
            Some(rest) => {
                self.rest = rest;
                self.quoted()
            }
            None => self.plain(),
        }
    }

    fn plain(&mut self) -> Result<(String, bool), &'static str> {
        let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        let more = rest.starts_with(',');
        let field = if more {
            field
        } else {
            field.strip_suffix('\r').unwrap_or(field)
        };
        if field.contains('"') {
            return Err("a quote stands in a field that is not quoted");
        }
        self.line += usize::from(rest.starts_with('\n'));
        self.rest = rest.get(1..).unwrap_or_default();
        Ok((field.to_owned(), more))
    }

    fn quoted(&mut self) -> Result<(String, bool), &'static str> {
        let mut field = String::new();
        loop {
            let (part, rest) = self.rest.split_once('"').ok_or("a quoted field is not closed")?;
            self.line += part.bytes().filter(|byte| *byte == b'\n').count();
            field.push_str(&part.replace("\r\n", "\n"));
            if let Some(rest) = rest.strip_prefix('"') {
                field.push('"');
                self.rest = rest;
                continue;
            }
            if let Some(rest) = rest.strip_prefix(',') {
                self.rest = rest;
                return Ok((field, true));
            }
            let rest = rest
                .strip_prefix('\r')
                .filter(|rest| rest.is_empty() || rest.starts_with('\n'))
                .unwrap_or(rest);
            if let Some(rest) = rest.strip_prefix('\n') {
                self.rest = rest;
                self.line += 1;
                return Ok((field, false));
            }
            if rest.is_empty() {
                self.rest = rest;
                return Ok((field, false));
            }
            return Err("something stands between a closing quote and the next comma");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(csv: &str) -> Result<Vec<Vec<String>>, String> {
        Records { rest: csv, line: 1 }
            .map(|record| Ok(record?.fields))
            .collect()
    }

    #[test]
    fn quotes_and_line_ends() {
        assert_eq!(
            fields("a,\"b\"\"c\",\r\n\r\n\"x\r\ny\",\n").unwrap(),
            [vec!["a", "b\"c", ""], vec!["x\ny", ""]]
        );
        assert_eq!(fields("\"\"\r").unwrap(), [[""]]);
        assert_eq!(fields("").unwrap(), Vec::<Vec<String>>::new());
    }

    #[test]
    fn stray_quotes_are_errors() {
        assert_eq!(
            fields("a\nb\"c").unwrap_err(),
            "line 2: a quote stands in a field that is not quoted"
        );
        assert_eq!(
            fields("\"a\"b").unwrap_err(),
            "line 1: something stands between a closing quote and the next comma"
        );
        assert_eq!(fields("\"a\n").unwrap_err(), "line 1: a quoted field is not closed");
    }
}
