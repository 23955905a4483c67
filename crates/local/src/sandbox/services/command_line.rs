//! Command lines of units: words and their quoting, prefixes, specifiers, variables of the environment.

use std::collections::BTreeMap;

/// One command of an `Exec…=` line, its specifiers replaced and its variables not yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CommandLine {
    /// The program: a path, or a name that is searched.
    pub(super) program: String,
    /// The name that it is called by, and its arguments.
    pub(super) arguments: Vec<String>,
    /// `-`: that it fails does not count.
    pub(super) may_fail: bool,
    /// `+`, `!`: as root, whatever `User=` is.
    pub(super) privileged: bool,
    /// `:`: without variables.
    pub(super) literal: bool,
}

/// What `%` and a letter stand for.
#[derive(Debug, Clone, Default)]
pub(super) struct Specifiers {
    /// The unit's name with its suffix.
    pub(super) unit: String,
    /// The machine's host name.
    pub(super) hostname: String,
    /// The machine's id, of `/etc/machine-id`.
    pub(super) machine_id: String,
    /// The kernel's release.
    pub(super) kernel: String,
}

impl Specifiers {
    /// The text with its specifiers replaced; unknown ones stay.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                expanded.push(letter);
                continue;
            }
            match letters.next() {
                None | Some('%') => expanded.push('%'),
                Some(specifier) => match self.meaning(specifier) {
                    Some(meaning) => expanded.push_str(&meaning),
                    None => expanded.extend(['%', specifier]),
                },
            }
        }
        expanded
    }

    fn meaning(&self, specifier: char) -> Option<String> {
        let name = UnitName::of(&self.unit);
        let instance = || name.instance.unwrap_or_default();
        let last = |text: &str| text.rsplit('-').next().unwrap_or_default().to_owned();
        let directory = match specifier {
            't' => "/run",
            'S' => "/var/lib",
            'C' => "/var/cache",
            'L' => "/var/log",
            'E' => "/etc",
            'T' => "/tmp",
            'V' => "/var/tmp",
            'h' => "/root",
            's' => "/bin/sh",
            'u' | 'g' => "root",
            'U' | 'G' => "0",
            _ => "",
        };
        if !directory.is_empty() {
            return Some(directory.to_owned());
        }
        Some(match specifier {
            'n' => self.unit.clone(),
            'N' => self
                .unit
                .rsplit_once('.')
                .map_or(self.unit.as_str(), |(stem, _)| stem)
                .to_owned(),
            'p' => name.prefix.to_owned(),
            'P' => unescape_name(name.prefix),
            'i' => instance().to_owned(),
            'I' => unescape_name(instance()),
            'j' => last(name.prefix),
            'J' => unescape_name(&last(name.prefix)),
            'f' => {
                let path = unescape_name(name.instance.unwrap_or(name.prefix));
                if path.starts_with('/') {
                    path
                } else {
                    format!("/{path}")
                }
            }
            'H' => self.hostname.clone(),
            'l' => self.hostname.split('.').next().unwrap_or_default().to_owned(),
            'm' => self.machine_id.clone(),
            'v' => self.kernel.clone(),
            'a' => std::env::consts::ARCH.replace('_', "-"),
            _ => return None,
        })
    }
}

/// The parts of a unit's name: `prefix@instance.suffix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnitName<'a> {
    pub(super) prefix: &'a str,
    /// What is after `@`; empty for a template.
    pub(super) instance: Option<&'a str>,
    /// `service`, `target`, …
    pub(super) suffix: &'a str,
}

impl<'a> UnitName<'a> {
    pub(super) fn of(name: &'a str) -> UnitName<'a> {
        let (stem, suffix) = name.rsplit_once('.').unwrap_or((name, ""));
        match stem.split_once('@') {
            Some((prefix, instance)) => UnitName {
                prefix,
                instance: Some(instance),
                suffix,
            },
            None => UnitName {
                prefix: stem,
                instance: None,
                suffix,
            },
        }
    }

    /// The name of the template that an instance is made of.
    pub(super) fn template(&self) -> Option<String> {
        self.instance
            .filter(|instance| !instance.is_empty())
            .map(|_| format!("{}@.{}", self.prefix, self.suffix))
    }
}

/// A part of a unit's name as it was before it was escaped: `-` is `/`, `\xHH` a byte.
fn unescape_name(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'-' => bytes.push(b'/'),
            b'\\' => match after
                .get(..3)
                .and_then(|code| code.strip_prefix(b"x"))
                .and_then(hex_byte)
            {
                Some(byte) => {
                    bytes.push(byte);
                    rest = &after[3..];
                }
                None => bytes.push(b'\\'),
            },
            other => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(digits, 16).ok()
}

/// The words of a value, unquoted. An error is a quote without its end.
pub(super) fn words(value: &str) -> Result<Vec<String>, UnbalancedQuote> {
    Ok(quoted_words(value)?.into_iter().map(|(word, _)| word).collect())
}

/// A quote has no end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quote is not closed")]
pub(super) struct UnbalancedQuote;

/// The words, and whether each is bare: without any quote or escape.
fn quoted_words(value: &str) -> Result<Vec<(String, bool)>, UnbalancedQuote> {
    let mut words = Vec::new();
    let mut letters = value.chars().peekable();
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if letters.peek().is_none() {
            return Ok(words);
        }
        let mut word = Vec::new();
        let (mut quote, mut bare) = (None, true);
        loop {
            match (letters.next(), quote) {
                (None, None) => break,
                (None, Some(_)) => return Err(UnbalancedQuote),
                (Some(letter), None) if letter.is_whitespace() => break,
                (Some(letter @ ('"' | '\'')), None) => (quote, bare) = (Some(letter), false),
                (Some(letter), Some(open)) if letter == open => quote = None,
                (Some('\\'), _) => {
                    bare = false;
                    unescape(&mut letters, &mut word);
                }
                (Some(letter), _) => push(&mut word, letter),
            }
        }
        words.push((String::from_utf8_lossy(&word).into_owned(), bare));
    }
}

fn push(word: &mut Vec<u8>, letter: char) {
    word.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Reads what comes after a backslash. What is no escape stays as it is.
fn unescape(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut Vec<u8>) {
    let Some(letter) = letters.next() else {
        return word.push(b'\\');
    };
    let simple = match letter {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        's' => b' ',
        '\\' => b'\\',
        '"' => b'"',
        '\'' => b'\'',
        _ => 0,
    };
    if simple != 0 {
        return word.push(simple);
    }
    let (digits, radix, is_byte) = match letter {
        'x' => (2, 16, true),
        '0'..='7' => (3, 8, true),
        'u' => (4, 16, false),
        'U' => (8, 16, false),
        _ => (0, 10, false),
    };
    let mut seen = String::new();
    if digits > 0 && radix == 8 {
        seen.push(letter);
    }
    while seen.len() < digits
        && let Some(digit) = letters.next_if(|digit| digit.is_digit(radix))
    {
        seen.push(digit);
    }
    let number = u32::from_str_radix(&seen, radix)
        .ok()
        .filter(|number| *number > 0 && seen.len() == digits);
    match (number, is_byte) {
        (Some(byte), true) if byte < 256 => word.push(u8::try_from(byte).unwrap_or_default()),
        (Some(code), false) if char::from_u32(code).is_some() => push(word, char::from_u32(code).unwrap_or_default()),
        _ => {
            word.push(b'\\');
            if radix != 8 || digits == 0 {
                push(word, letter);
            }
            word.extend_from_slice(seen.as_bytes());
        }
    }
}

impl CommandLine {
    /// The commands of a line; `;` as a word of its own ends one.
    pub(super) fn parse(line: &str, specifiers: &Specifiers) -> Result<Vec<CommandLine>, UnbalancedQuote> {
        let mut commands = Vec::new();
        let mut words = Vec::new();
        for (word, bare) in quoted_words(line)? {
            if word == ";" && bare {
                commands.extend(CommandLine::of(std::mem::take(&mut words)));
            } else if word == r"\;" {
                words.push(";".to_owned());
            } else {
                words.push(specifiers.expand(&word));
            }
        }
        commands.extend(CommandLine::of(words));
        Ok(commands)
    }

    fn of(words: Vec<String>) -> Option<CommandLine> {
        let mut words = words.into_iter();
        let first = words.next()?;
        let mut command = CommandLine::default();
        let mut has_own_name = false;
        let mut program = first.as_str();
        while let Some(prefix) = program.chars().next().filter(|letter| "-@:+!|".contains(*letter)) {
            match prefix {
                '-' => command.may_fail = true,
                '@' => has_own_name = true,
                ':' => command.literal = true,
                _ => command.privileged = true,
            }
            program = &program[1..];
        }
        if program.is_empty() {
            return None;
        }
        program.clone_into(&mut command.program);
        if !has_own_name {
            command.arguments.push(command.program.clone());
        }
        command.arguments.extend(words);
        if command.arguments.is_empty() {
            command.arguments.push(command.program.clone());
        }
        Some(command)
    }

    /// The arguments, the name first, with their variables replaced: `$NAME` as a word of its own is all words of the value, `${NAME}` the
    /// value as it is, `$$` a dollar sign.
    pub(super) fn arguments(&self, environment: &BTreeMap<String, String>) -> Vec<String> {
        if self.literal {
            return self.arguments.clone();
        }
        let mut arguments = Vec::new();
        for (index, word) in self.arguments.iter().enumerate() {
            match word.strip_prefix('$').filter(|name| index > 0 && is_variable(name)) {
                Some(name) => {
                    let value = environment.get(name).map(String::as_str).unwrap_or_default();
                    // A value with a quote that is not closed is taken by its spaces.
                    arguments
                        .extend(words(value).unwrap_or_else(|_| value.split_whitespace().map(str::to_owned).collect()));
                }
                None => arguments.push(substitute(word, environment)),
            }
        }
        arguments
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

fn substitute(word: &str, environment: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let braced = after.strip_prefix('{').and_then(|braced| braced.split_once('}'));
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = braced.filter(|(name, _)| is_variable(name)) {
            text.push_str(environment.get(name).map(String::as_str).unwrap_or_default());
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text + rest
}

/// The variables of `Environment=`: assignments as words.
pub(super) fn assignments(value: &str) -> Vec<(String, String)> {
    let words = words(value).unwrap_or_default().into_iter();
    words
        .filter_map(|word| {
            let (name, value) = word.split_once('=')?;
            is_variable(name).then(|| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The variables of an environment file: one a line, comments, values quoted as in a shell.
pub(super) fn environment_file(text: &str) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut line = line.trim().to_owned();
        if line.starts_with(['#', ';']) {
            continue;
        }
        while line.ends_with('\\')
            && let Some(next) = lines.next()
        {
            line.pop();
            line.push_str(next.trim());
        }
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let name = name.trim();
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        if is_variable(name) {
            variables.push((name.to_owned(), shell_value(value.trim())));
        }
    }
    variables
}

/// A value of an environment file: spaces count, quotes go, a backslash takes its letter as it is.
fn shell_value(value: &str) -> String {
    let mut text = String::new();
    let (mut quote, mut letters) = (None, value.chars());
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('"' | '\'', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            ('\\', None) => text.extend(letters.next()),
            ('\\', Some('"')) => match letters.next() {
                Some(escaped @ ('"' | '\\' | '`' | '$')) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            (letter, _) => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specifiers(unit: &str) -> Specifiers {
        Specifiers {
            unit: unit.to_owned(),
            hostname: "web.example".into(),
            machine_id: "0123".into(),
            kernel: "6.1".into(),
        }
    }

    fn one(line: &str) -> CommandLine {
        CommandLine::parse(line, &specifiers("a@x-y.service"))
            .unwrap()
            .remove(0)
    }

    #[test]
    fn words_are_unquoted() {
        for (value, expected) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            (r#""a b" 'c d' e"f g"h"#, &["a b", "c d", "ef gh"]),
            (r#"a\sb "\x41\102\n" '\'' \u00e4"#, &["a b", "AB\n", "'", "ä"]),
            (r"\d \x4 \9 a\", &[r"\d", r"\x4", r"\9", r"a\"]),
            ("\"\"", &[""]),
            ("", &[]),
        ] {
            assert_eq!(words(value).unwrap(), expected, "{value}");
        }
        assert_eq!(words("'a"), Err(UnbalancedQuote));
    }

    #[test]
    fn prefixes_and_several_commands_are_read() {
        let command = one("-@+/bin/sh -sh -c 'exit 1'");
        assert!(command.may_fail && command.privileged && !command.literal);
        assert_eq!((command.program.as_str(), command.arguments.len()), ("/bin/sh", 3));
        let commands = CommandLine::parse(r"/bin/a 1 ; /bin/b \; ';'", &Specifiers::default()).unwrap();
        assert_eq!(commands.len(), 2);
        assert_eq!(commands[1].arguments, ["/bin/b", ";", ";"]);
        assert_eq!(CommandLine::parse("  ", &Specifiers::default()), Ok(Vec::new()));
    }

    #[test]
    fn specifiers_are_replaced() {
        let text = "%n %N %p %i %I %f %t %H %l %u %U %% %z %";
        assert_eq!(
            specifiers("a@x-y.service").expand(text),
            "a@x-y.service a@x-y a x-y x/y /x/y /run web.example web root 0 % %z %"
        );
        assert_eq!(specifiers("a-b.service").expand("%p%i %j %I"), "a-b b ");
    }

    #[test]
    fn variables_are_replaced_as_systemd_does() {
        let environment: BTreeMap<String, String> = [("ONE", "a 'b c'"), ("EMPTY", "")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        let of = |line| one(line).arguments(&environment);
        assert_eq!(
            of("x $ONE ${ONE} -${ONE}- a$ONE $$ONE $EMPTY ${EMPTY} $NONE ${"),
            ["x", "a", "b c", "a 'b c'", "-a 'b c'-", "a$ONE", "$ONE", "", "${"]
        );
        assert_eq!(of(":x $ONE"), ["x", "$ONE"]);
    }

    #[test]
    fn environments_are_read() {
        assert_eq!(
            assignments(r#"A=1 "B=2 3" C 9=x"#),
            [("A".into(), "1".into()), ("B".into(), "2 3".into())]
        );
        let file = "# c\nA=1\nexport B=\"x \\\"y\\\" $z\"\nC='a b' # no comment\nbad\nD=one \\\ntwo\n";
        let expected = [
            ("A", "1"),
            ("B", "x \"y\" $z"),
            ("C", "a b # no comment"),
            ("D", "one two"),
        ];
        assert_eq!(
            environment_file(file),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(any: String, line in "[-@:+!|a-c0-9 ;%ixuU\\\\\"'${}=\n]{0,40}", unit in "[a-c@\\\\x0-9.-]{0,12}") {
            for text in [&any, &line] {
                let specifiers = specifiers(&unit);
                let environment = BTreeMap::from([("a".to_owned(), text.clone())]);
                for command in CommandLine::parse(text, &specifiers).unwrap_or_default() {
                    proptest::prop_assert!(!command.arguments.is_empty());
                    let _ = command.arguments(&environment);
                }
                let _ = (assignments(text), environment_file(text), specifiers.expand("%p%P%i%I%j%J%f"), UnitName::of(&unit).template());
            }
        }
    }
}
