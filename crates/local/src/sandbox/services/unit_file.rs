//! The syntax of unit files: sections, keys, repeated and emptied values, continued lines; and of the values that several keys share.

use std::time::Duration;

/// What a unit file and its drop-ins contain, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::sandbox) struct UnitFile {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    section: String,
    key: String,
    value: String,
}

impl UnitFile {
    /// Reads a unit file. What is no assignment has no meaning to systemd either, but for a warning.
    pub(super) fn parse(text: &str) -> UnitFile {
        let mut file = UnitFile::default();
        let mut section = String::new();
        for line in logical_lines(text) {
            let line = line.trim();
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                file.entries.push(Entry {
                    section: section.clone(),
                    key: key.trim().to_owned(),
                    value: value.trim().to_owned(),
                });
            }
        }
        file
    }

    /// Adds what a drop-in contains.
    pub(super) fn extend(&mut self, drop_in: UnitFile) {
        self.entries.extend(drop_in.entries);
    }

    /// The values of a key since the last empty one.
    pub(super) fn values(&self, section: &str, key: &str) -> Vec<&str> {
        let mut values = Vec::new();
        for entry in self
            .entries
            .iter()
            .filter(|entry| entry.section == section && entry.key == key)
        {
            if entry.value.is_empty() {
                values.clear();
            } else {
                values.push(entry.value.as_str());
            }
        }
        values
    }

    /// The last value of a key, unless that is empty.
    pub(super) fn value(&self, section: &str, key: &str) -> Option<&str> {
        self.values(section, key).pop()
    }

    /// The space-separated words of all values of a key.
    pub(super) fn words(&self, section: &str, key: &str) -> Vec<&str> {
        let values = self.values(section, key).into_iter();
        values.flat_map(str::split_whitespace).collect()
    }

    /// Whether a key is true; `None` without the key, or with another value than a boolean.
    pub(super) fn flag(&self, section: &str, key: &str) -> Option<bool> {
        boolean(self.value(section, key)?)
    }

    /// The keys of a section, in their order.
    pub(super) fn keys(&self, section: &str) -> impl Iterator<Item = &str> {
        let entries = self.entries.iter().filter(move |entry| entry.section == section);
        entries.map(|entry| entry.key.as_str())
    }

    /// Whether there is such a section with anything in it.
    pub(super) fn has(&self, section: &str) -> bool {
        self.keys(section).next().is_some()
    }

    /// The assignments of a section, in their order.
    pub(super) fn section(&self, section: &str) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.entries.iter().filter(move |entry| entry.section == section);
        entries.map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }
}

/// Lines with their continuations, without comments and empty ones. A backslash at the end of a line stands for a space; comments between
/// continued lines are left out.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut pending: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        let is_comment = matches!(line.trim_start().bytes().next(), Some(b'#' | b';'));
        if is_comment || pending.is_none() && line.trim().is_empty() {
            continue;
        }
        let mut whole = pending.take().unwrap_or_default();
        if let Some(start) = line.strip_suffix('\\') {
            whole.push_str(start);
            whole.push(' ');
            pending = Some(whole);
        } else {
            whole.push_str(line);
            lines.push(whole);
        }
    }
    lines.extend(pending);
    lines
}

/// A boolean of a unit file.
pub(super) fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// A span of time as units write it (`90`, `1min 30s`); `Some(None)` is `infinity`, `None` what cannot be read.
#[expect(clippy::option_option, reason = "no value and no limit are different things")]
pub(super) fn span(value: &str) -> Option<Option<Duration>> {
    if value.trim() == "infinity" {
        return Some(None);
    }
    let mut total = 0.0_f64;
    let mut rest = value.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(rest.len());
        let count: f64 = rest.get(..number)?.parse().ok()?;
        rest = rest.get(number..)?.trim_start();
        let unit = rest.find(|letter: char| !letter.is_alphabetic()).unwrap_or(rest.len());
        total += count * seconds(rest.get(..unit)?)?;
        rest = rest.get(unit..)?.trim_start();
    }
    Duration::try_from_secs_f64(total).ok().map(Some)
}

fn seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "" | "s" | "sec" | "second" | "seconds" => 1.0,
        "us" | "usec" | "µs" | "μs" => 1e-6,
        "ms" | "msec" => 1e-3,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86400.0,
        "w" | "week" | "weeks" => 7.0 * 86400.0,
        _ => return None,
    })
}

/// The two values of a resource limit, `soft:hard` or one for both; `None` within is `infinity`.
pub(super) fn limit(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let one = |word: &str| match word {
        "infinity" => Some(None),
        word => amount(word).map(Some),
    };
    match value.split_once(':') {
        Some((soft, hard)) => Some((one(soft)?, one(hard)?)),
        None => one(value).map(|both| (both, both)),
    }
}

/// A number, maybe with a suffix of a power of 1024.
fn amount(word: &str) -> Option<u64> {
    let shift = match word.bytes().last()? {
        b'K' => 10,
        b'M' => 20,
        b'G' => 30,
        b'T' => 40,
        _ => 0,
    };
    let digits = if shift > 0 { word.get(..word.len() - 1)? } else { word };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_repeat_and_are_emptied() {
        let mut file = UnitFile::parse(
            "ignored\n[Unit]\nAfter=a b\nAfter = c\n# comment\n; comment\n[Service]\nExecStart=/bin/a \\\n  # not this\n  b \\\n c\nEnvironment=A=1\n",
        );
        assert_eq!(file.words("Unit", "After"), ["a", "b", "c"]);
        assert_eq!(file.value("Service", "ExecStart"), Some("/bin/a    b   c"));
        assert_eq!(file.value("Service", "Environment"), Some("A=1"));
        file.extend(UnitFile::parse(
            "[Service]\nExecStart=\nExecStart=/bin/z\n[Unit]\nAfter=\n",
        ));
        assert_eq!(file.values("Service", "ExecStart"), ["/bin/z"]);
        assert_eq!(file.value("Unit", "After"), None);
        assert!(file.has("Unit") && !file.has("Install"));
    }

    #[test]
    fn spans_of_time_are_read() {
        let of = |text| span(text).flatten().map(|span| span.as_millis());
        assert_eq!(of("90"), Some(90_000));
        assert_eq!(of("1min 30s"), Some(90_000));
        assert_eq!(of("1h2.5s100ms"), Some(3_602_600));
        assert_eq!(span("infinity"), Some(None));
        for wrong in ["", "x", "5 parsecs", "-1", "1e999999", "s"] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn limits_are_read() {
        assert_eq!(limit("65536"), Some((Some(65536), Some(65536))));
        assert_eq!(limit("1K:infinity"), Some((Some(1024), None)));
        assert_eq!(limit("99999999999G"), None);
        assert_eq!(limit(""), None);
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(text: String, lines in proptest::collection::vec("[\\[\\]=a-cA-C0-9 \\\\#;%$\"':.]{0,16}", 0..10)) {
            let file = UnitFile::parse(&text);
            let _ = file.words("Service", "ExecStart");
            let _ = UnitFile::parse(&lines.join("\n"));
            let _ = (span(&text), limit(&text), boolean(&text));
            for line in lines {
                let _ = (span(&line), limit(&line));
            }
        }
    }
}
