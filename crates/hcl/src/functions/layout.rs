//! Points in time as text by Go's layouts (`2006-01-02`) and strftime formats (`%Y-%m-%d`), in UTC. The functions that start from the time
//! of a run, and those of `{{ }}`, use the same.

use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::civil::DateTime;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// A system's time as a clock in UTC shows it; `None` beyond the year 9999.
pub(super) fn utc(time: SystemTime) -> Option<DateTime> {
    let timestamp = jiff::Timestamp::try_from(time).ok()?;
    Some(jiff::tz::Offset::UTC.to_datetime(timestamp))
}

/// The month in English.
pub(super) fn month_name(at: DateTime) -> &'static str {
    MONTHS
        .get(usize::try_from(at.month() - 1).unwrap_or(0))
        .copied()
        .unwrap_or_default()
}

/// The day of the week in English.
pub(super) fn weekday_name(at: DateTime) -> &'static str {
    let weekday = at.date().weekday().to_sunday_zero_offset();
    WEEKDAYS
        .get(usize::try_from(weekday).unwrap_or(0))
        .copied()
        .unwrap_or_default()
}

/// The hour from 1 to 12.
pub(super) fn twelve_hour(at: DateTime) -> i8 {
    match at.hour() % 12 {
        0 => 12,
        hour => hour,
    }
}

/// One element of a Go layout: how it is written there and how a point in time shows it.
type Element = (&'static str, fn(DateTime) -> String);

/// Longer ones stand before those that they begin with. The reference time is Mon Jan 2 15:04:05 MST 2006.
static ELEMENTS: &[Element] = &[
    ("January", |at| month_name(at).to_owned()),
    ("Jan", |at| format!("{:.3}", month_name(at))),
    ("Monday", |at| weekday_name(at).to_owned()),
    ("Mon", |at| format!("{:.3}", weekday_name(at))),
    ("MST", |_| "UTC".to_owned()),
    ("01", |at| format!("{:02}", at.month())),
    ("002", |at| format!("{:03}", at.date().day_of_year())),
    ("02", |at| format!("{:02}", at.day())),
    ("03", |at| format!("{:02}", twelve_hour(at))),
    ("04", |at| format!("{:02}", at.minute())),
    ("05", |at| format!("{:02}", at.second())),
    ("06", |at| format!("{:02}", at.year().rem_euclid(100))),
    ("15", |at| format!("{:02}", at.hour())),
    ("1", |at| at.month().to_string()),
    ("2006", |at| format!("{:04}", at.year())),
    ("2", |at| at.day().to_string()),
    ("__2", |at| format!("{:>3}", at.date().day_of_year())),
    // An underscore before the year is an underscore.
    ("_2006", |at| format!("_{:04}", at.year())),
    ("_2", |at| format!("{:>2}", at.day())),
    ("3", |at| twelve_hour(at).to_string()),
    ("4", |at| at.minute().to_string()),
    ("5", |at| at.second().to_string()),
    ("PM", |at| if at.hour() < 12 { "AM" } else { "PM" }.to_owned()),
    ("pm", |at| if at.hour() < 12 { "am" } else { "pm" }.to_owned()),
    ("-07:00:00", |_| "+00:00:00".to_owned()),
    ("-070000", |_| "+000000".to_owned()),
    ("-07:00", |_| "+00:00".to_owned()),
    ("-0700", |_| "+0000".to_owned()),
    ("-07", |_| "+00".to_owned()),
    ("Z07:00:00", |_| "Z".to_owned()),
    ("Z070000", |_| "Z".to_owned()),
    ("Z07:00", |_| "Z".to_owned()),
    ("Z0700", |_| "Z".to_owned()),
    ("Z07", |_| "Z".to_owned()),
];

/// A point in time in a Go layout; `None` beyond the year 9999.
pub fn format(layout: &str, at: SystemTime) -> Option<String> {
    Some(in_layout(layout, utc(at)?))
}

/// A point in time in a strftime format; `None` beyond the year 9999.
pub fn strftime(format: &str, at: SystemTime) -> Option<String> {
    Some(in_strftime(format, utc(at)?))
}

fn in_layout(layout: &str, at: DateTime) -> String {
    let mut shown = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let (text, length) = fraction(rest, at)
            .or_else(|| element(rest).map(|(written, show)| (show(at), written.len())))
            .unwrap_or_else(|| (first.to_string(), first.len_utf8()));
        shown.push_str(&text);
        rest = rest.get(length..).unwrap_or_default();
    }
    shown
}

fn element(rest: &str) -> Option<&'static Element> {
    let found = ELEMENTS.iter().find(|(written, _)| rest.starts_with(written))?;
    // `Jan` and `Mon` may begin a word that means nothing.
    let followed = rest
        .get(3..)
        .is_some_and(|after| after.starts_with(|next: char| next.is_ascii_lowercase()));
    (!(matches!(found.0, "Jan" | "Mon") && followed)).then_some(found)
}

/// A point or comma and a run of `0` or `9` that ends with it: fractions of a second, without zeros at the end for `9`. Gives also
/// how long it is in the layout.
fn fraction(rest: &str, at: DateTime) -> Option<(String, usize)> {
    let mark = rest.chars().next().filter(|mark| matches!(mark, '.' | ','))?;
    let digit = rest.chars().nth(1).filter(|digit| matches!(digit, '0' | '9'))?;
    let after = rest.get(1..)?;
    let digits = after.len() - after.trim_start_matches(digit).len();
    if after.get(digits..)?.starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{:09}", at.subsec_nanosecond());
    let shown = format!("{nanoseconds:0<digits$}");
    let shown = shown.get(..digits)?;
    let shown = if digit == '9' {
        shown.trim_end_matches('0')
    } else {
        shown
    };
    let text = if shown.is_empty() {
        String::new()
    } else {
        format!("{mark}{shown}")
    };
    Some((text, 1 + digits))
}

/// A point in time in a strftime format; what is not known stays as it is written.
fn in_strftime(format: &str, at: DateTime) -> String {
    let mut shown = String::with_capacity(format.len() + 8);
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            shown.push(character);
            continue;
        }
        let Some(letter) = characters.next() else {
            shown.push('%');
            break;
        };
        let written = match letter {
            'A' => write!(shown, "{}", weekday_name(at)),
            'a' => write!(shown, "{:.3}", weekday_name(at)),
            'B' => write!(shown, "{}", month_name(at)),
            'b' => write!(shown, "{:.3}", month_name(at)),
            'd' => write!(shown, "{:02}", at.day()),
            'H' => write!(shown, "{:02}", at.hour()),
            'I' => write!(shown, "{:02}", twelve_hour(at)),
            'L' => write!(shown, ".{:03}", at.millisecond()),
            'M' => write!(shown, "{:02}", at.minute()),
            'm' => write!(shown, "{:02}", at.month()),
            'p' => write!(shown, "{}", if at.hour() < 12 { "AM" } else { "PM" }),
            'S' => write!(shown, "{:02}", at.second()),
            'Y' => write!(shown, "{:04}", at.year()),
            'y' => write!(shown, "{:02}", at.year().rem_euclid(100)),
            'Z' => write!(shown, "UTC"),
            'z' => write!(shown, "+0000"),
            '%' => write!(shown, "%"),
            unknown => write!(shown, "%{unknown}"),
        };
        debug_assert!(written.is_ok(), "writing to a string succeeds");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: DateTime = DateTime::constant(2021, 3, 7, 15, 4, 9, 120_000_000);

    #[test]
    fn layouts() {
        let cases = [
            ("2006-01-02T15:04:05Z07:00", "2021-03-07T15:04:09Z"),
            ("Mon Jan _2 15:04:05 MST 2006", "Sun Mar  7 15:04:09 UTC 2021"),
            ("Monday, 02-Jan-06 3:04PM -0700", "Sunday, 07-Mar-21 3:04PM +0000"),
            (
                "002 __2 1/2 03pm .000 .999 05.00 05,9",
                "066  66 3/7 03pm .120 .12 09.12 09,1",
            ),
            ("Months January Janet _2006 x.0001", "Months March Janet _2021 x.0003"),
            ("é 20060102150405", "é 20210307150409"),
        ];
        for (layout, shown) in cases {
            assert_eq!(in_layout(layout, AT), shown, "{layout}");
        }
    }

    #[test]
    fn strftime_formats() {
        assert_eq!(
            in_strftime("%A %a %B %b %d %H %I %L %M %m %p %S %Y %y %Z %z %% %Q %", AT),
            "Sunday Sun March Mar 07 15 03 .120 04 03 PM 09 2021 21 UTC +0000 % %Q %"
        );
    }
}
