//! What `systemctl` and `journalctl` are asked for.

/// A command line of `systemctl`.
#[expect(clippy::struct_excessive_bools, reason = "a flag for each option")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) verb: String,
    pub(super) units: Vec<String>,
    pub(super) is_now: bool,
    pub(super) is_quiet: bool,
    pub(super) is_runtime: bool,
    pub(super) waits_not: bool,
    pub(super) only_values: bool,
    pub(super) has_no_legend: bool,
    pub(super) only_failed: bool,
    pub(super) properties: Vec<String>,
    pub(super) types: Vec<String>,
    pub(super) states: Vec<String>,
    pub(super) signal: Option<String>,
    pub(super) whom: Option<String>,
    pub(super) lines: Option<usize>,
    /// Only the root's own `systemctl` understands it.
    pub(super) is_foreign: bool,
}

/// Options that have a value, by which field it goes to; those without one have a value that means nothing here.
const WITH_VALUE: [&str; 22] = [
    "-t",
    "--type",
    "-p",
    "--property",
    "-P",
    "-n",
    "--lines",
    "-o",
    "--output",
    "-s",
    "--signal",
    "--state",
    "--job-mode",
    "--kill-whom",
    "--kill-who",
    "--preset-mode",
    "--what",
    "--root",
    "--image",
    "--host",
    "--machine",
    "--check-inhibitors",
];

impl Request {
    /// Reads the arguments after the program's name.
    pub(super) fn parse(arguments: &[String]) -> Request {
        let mut request = Request::default();
        let mut words = arguments.iter().map(String::as_str);
        let mut has_ended = false;
        while let Some(word) = words.next() {
            if has_ended || !word.starts_with('-') {
                request.add_word(word);
            } else if word == "--" {
                has_ended = true;
            } else if let Some((name, value)) = word.split_once('=').filter(|(name, _)| name.starts_with("--")) {
                request.set(name, value);
            } else if WITH_VALUE.contains(&word) {
                request.set(word, words.next().unwrap_or_default());
            } else if let Some(name) = WITH_VALUE
                .iter()
                .find(|name| name.len() == 2 && word.starts_with(**name))
            {
                request.set(name, &word[2..]);
            } else {
                request.set_flag(word);
            }
        }
        request
    }

    fn add_word(&mut self, word: &str) {
        if self.verb.is_empty() {
            word.clone_into(&mut self.verb);
        } else {
            self.units.push(word.to_owned());
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let list = || value.split(',').filter(|word| !word.is_empty()).map(str::to_owned);
        match name {
            "-p" | "--property" => self.properties.extend(list()),
            "-P" => {
                self.properties.extend(list());
                self.only_values = true;
            }
            "-t" | "--type" => self.types.extend(list()),
            "--state" => self.states.extend(list()),
            "-n" | "--lines" => self.lines = value.parse().ok(),
            "-s" | "--signal" => self.signal = Some(value.to_owned()),
            "--kill-whom" | "--kill-who" => self.whom = Some(value.to_owned()),
            "--root" | "--image" | "--host" | "--machine" => self.is_foreign = true,
            _ => {}
        }
    }

    fn set_flag(&mut self, word: &str) {
        match word {
            "--now" => self.is_now = true,
            "--quiet" => self.is_quiet = true,
            "--runtime" => self.is_runtime = true,
            "--no-block" => self.waits_not = true,
            "--value" => self.only_values = true,
            "--no-legend" => self.has_no_legend = true,
            "--failed" => self.only_failed = true,
            "--user" | "--global" | "--version" | "--help" => self.is_foreign = true,
            _ if word.starts_with("--") => {}
            // Several short options in one word.
            _ => {
                self.is_quiet |= word.contains('q');
                self.is_foreign |= word.contains(['H', 'M', 'h']);
            }
        }
    }
}

/// A command line of `journalctl`.
#[expect(clippy::struct_excessive_bools, reason = "a flag for each option")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LogRequest {
    pub(super) units: Vec<String>,
    pub(super) lines: Option<usize>,
    /// It removes old logs, or asks that they be written.
    pub(super) is_upkeep: bool,
    /// Of that, all logs that are not needed.
    pub(super) is_removal: bool,
    /// It waits for what is to come, which is not supported.
    pub(super) follows: bool,
    pub(super) is_foreign: bool,
}

impl LogRequest {
    /// Reads the arguments after the program's name.
    pub(super) fn parse(arguments: &[String]) -> LogRequest {
        let mut request = LogRequest::default();
        let mut words = arguments.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word, None),
            };
            let mut argument = || {
                value
                    .clone()
                    .or_else(|| words.next().map(str::to_owned))
                    .unwrap_or_default()
            };
            match name {
                "-u" | "--unit" => request.units.push(argument()),
                "-n" | "--lines" => request.lines = argument().parse().ok(),
                "-o" | "--output" | "-S" | "--since" | "-U" | "--until" | "-p" | "--priority" | "-t"
                | "--identifier" | "-g" | "--grep" => {
                    argument();
                }
                "-f" | "--follow" => request.follows = true,
                "--rotate" | "--flush" | "--sync" | "--relinquish-var" => request.is_upkeep = true,
                _ if name.starts_with("--vacuum-") => {
                    argument();
                    (request.is_upkeep, request.is_removal) = (true, true);
                }
                "--version" | "--help" | "-h" | "--user" => request.is_foreign = true,
                _ if !word.starts_with("--") && word.ends_with('u') => {
                    request.follows |= word.contains('f');
                    request.units.push(argument());
                }
                _ => request.set_short(word),
            }
        }
        request
    }

    /// `-xeu`, `-n20`, `-fu` and the like; what has no meaning here is passed over.
    fn set_short(&mut self, word: &str) {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.starts_with('-')) else {
            return;
        };
        if let Some(number) = letters.strip_prefix('n') {
            self.lines = number.parse().ok();
            return;
        }
        self.follows |= letters.contains('f');
        if let Some((_, unit)) = letters.split_once('u') {
            self.units.push(unit.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn command_lines_are_read() {
        let request = Request::parse(&words(
            "-q enable --now web -p ActiveState,SubState --property=Id db.service -n5",
        ));
        assert_eq!(
            (request.verb.as_str(), request.units),
            ("enable", words("web db.service"))
        );
        assert!(request.is_now && request.is_quiet && !request.is_foreign);
        assert_eq!(
            (request.properties, request.lines),
            (words("ActiveState SubState Id"), Some(5))
        );
        assert!(Request::parse(&words("--user start x")).is_foreign);
        assert!(Request::parse(&words("--root=/mnt enable x")).is_foreign);
        assert_eq!(Request::parse(&words("kill -s HUP -- -x")).units, ["-x"]);
        assert_eq!(Request::parse(&words("show -PMainPID web")).properties, ["MainPID"]);
    }

    #[test]
    fn log_requests_are_read() {
        let request = LogRequest::parse(&words("-xe -n 20 --no-pager --unit=web"));
        assert_eq!(
            (request.units, request.lines, request.follows),
            (words("web"), Some(20), false)
        );
        assert!(LogRequest::parse(&words("-fu web")).follows);
        assert_eq!(LogRequest::parse(&words("-xeu web -n5")).units, ["web"]);
        assert!(LogRequest::parse(&words("--vacuum-time=1s")).is_removal);
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics(arguments in proptest::collection::vec("[-=a-zA-Zä0-9,]{0,8}", 0..8)) {
            let _ = Request::parse(&arguments);
            let _ = LogRequest::parse(&arguments);
        }
    }
}
