//! Paths as words of the other side's shell, and `~` where there is no shell.

/// A path as one word. A leading `~` keeps its meaning: the home directory.
pub(crate) fn word(path: &str) -> String {
    let (home, rest) = split_home(path);
    format!("{home}{}", quoted(rest, |_| false))
}

/// The same, but `*`, `?` and `[…]` keep their meaning.
pub(crate) fn pattern(path: &str) -> String {
    let (home, rest) = split_home(path);
    format!("{home}{}", quoted(rest, |c| "*?[]".contains(c)))
}

/// A text as one word in which nothing has a meaning, line breaks included.
pub(crate) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A path where no shell expands `~`: it is relative to the home directory then.
pub(crate) fn without_shell(path: &str) -> &str {
    match path {
        "~" | "~/" => ".",
        _ => path.strip_prefix("~/").unwrap_or(path),
    }
}

/// `~` or `~user` with its slash, and the rest.
fn split_home(path: &str) -> (&str, &str) {
    let end = path.find('/').map_or(path.len(), |slash| slash + 1);
    let (first, rest) = path.split_at(end);
    let is_user = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match first.trim_end_matches('/').strip_prefix('~') {
        Some(user) if is_user(user) => (first, rest),
        _ => ("", path),
    }
}

fn quoted(text: &str, is_free: impl Fn(char) -> bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c) || is_free(c);
    // An option of the command starts with `-`; a path that does needs its directory.
    let text = if text.starts_with('-') {
        format!("./{text}")
    } else {
        text.to_owned()
    };
    let mut word = String::new();
    let mut open = false;
    for c in text.chars() {
        if open == plain(c) {
            word.push('\'');
            open = !open;
        }
        match c {
            '\'' => word.push_str(r"'\''"),
            c => word.push(c),
        }
    }
    if open {
        word.push('\'');
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_themselves() {
        assert_eq!(word("/tmp/script_1.sh"), "/tmp/script_1.sh");
        assert_eq!(word("/tmp/with space/$x;y"), "/tmp/with' 'space/'$'x';'y");
        assert_eq!(word("it's"), r"it''\'''s");
        assert_eq!(word("-rf"), "./-rf");
        assert_eq!(word("~/a b"), "~/a' 'b");
        assert_eq!(word("~me/x"), "~me/x");
        assert_eq!(word("~$(x)/y"), "'~$('x')'/y");
    }

    #[test]
    fn patterns_keep_their_wildcards_only() {
        assert_eq!(pattern("/var/log/*.lo[gx] $"), "/var/log/*.lo[gx]' $'");
    }

    #[test]
    fn a_shell_reads_words_as_they_were() {
        for path in [
            "it's",
            "a'b'c",
            "$HOME `x` \"q\" \\n",
            "tab\there",
            "new\nline",
            "-n",
            "ünïcode *",
        ] {
            let said = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", word(path))])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap().trim_start_matches("./"), path);
        }
    }

    #[test]
    fn home_is_relative_where_there_is_no_shell() {
        assert_eq!(without_shell("~/x"), "x");
        assert_eq!(without_shell("~"), ".");
        assert_eq!(without_shell("/x/~/y"), "/x/~/y");
    }
}
