//! Upper, lower and title case of single letters, by Unicode's simple mapping: one letter becomes one letter, wherever it stands.

/// The lower case of a letter.
pub(super) fn lower(letter: char) -> char {
    match letter {
        // The one letter whose full mapping is longer than its simple one.
        'İ' => 'i',
        _ => only(letter.to_lowercase()).unwrap_or(letter),
    }
}

/// The upper case of a letter.
pub(super) fn upper(letter: char) -> char {
    match letter {
        // Greek letters with iota below: their full mapping writes the iota beside, their simple one is eight further.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => further(letter, 8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => further(letter, 9),
        _ => only(letter.to_uppercase()).unwrap_or(letter),
    }
}

/// The case of a word's first letter.
fn title_case(letter: char) -> char {
    match letter {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        // Georgian words begin with a small letter.
        '\u{10d0}'..='\u{10ff}' => letter,
        _ => upper(letter),
    }
}

/// Every letter that follows a separator in title case.
pub(super) fn title(text: &str) -> String {
    let mut after_separator = true;
    text.chars()
        .map(|letter| {
            let shown = if after_separator { title_case(letter) } else { letter };
            after_separator = separates(letter);
            shown
        })
        .collect()
}

/// Of ASCII everything but letters, digits and the underscore; of the rest only white space.
fn separates(letter: char) -> bool {
    if letter.is_ascii() {
        !letter.is_ascii_alphanumeric() && letter != '_'
    } else {
        letter.is_whitespace()
    }
}

fn only(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next()?;
    mapped.next().is_none().then_some(first)
}

fn further(letter: char, by: u32) -> char {
    char::from_u32(u32::from(letter) + by).unwrap_or(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_stays_one_letter() {
        for letter in '\0'..=char::MAX {
            let _ = (upper(letter), lower(letter), title_case(letter));
        }
        assert_eq!("ßŉᾀᾳǆﬀ".chars().map(upper).collect::<String>(), "ßŉᾈᾼǄﬀ");
        assert_eq!("İΣẞ".chars().map(lower).collect::<String>(), "iσß");
    }

    #[test]
    fn words_begin_where_a_separator_ends() {
        assert_eq!(title("it's a_b x-y éa ǆ.z 1a"), "It'S A_b X-Y Éa ǅ.Z 1a");
    }
}
