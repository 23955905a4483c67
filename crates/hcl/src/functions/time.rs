//! Functions on points in time, all in the RFC 3339 notation.

use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use super::arguments::{failed, number, shown, text, wrong};
use super::{Call, Function, FunctionError, Returns, Run, layout};
use crate::duration;
use crate::value::Value;

/// Dates and times.
pub(super) static GROUP: &[Function] = &[
    Function {
        name: "formatdate",
        doc: "A point in time as a format has it: `YYYY YY MMMM MMM MM M DD D EEEE EEE hh h HH H AA aa mm m ss s ZZZZZ \
              ZZZZ ZZZ Z`; put literal text between single quotes.",
        parameters: &[text("format"), text("timestamp")],
        variadic: None,
        result: Returns::STRING,
        examples: &[
            ("formatdate(\"YYYY-MM-DD\", \"2018-01-02T23:12:01Z\")", "2018-01-02"),
            (
                "formatdate(\"EEE, D MMM 'at' HH:mm aa\", \"2018-01-02T23:12:01Z\")",
                "Tue, 2 Jan at 11:12 pm",
            ),
        ],
        run: Run::Plain(formatdate),
    },
    Function {
        name: "rfc3339_parse",
        doc: "The parts of a point in time: an object of `year`, `month`, `day`, `hour`, `minute`, `second`, `unix`, \
              `weekday` (0 is Sunday), `year_day`, `iso_year`, `iso_week`, `month_name`, `weekday_name`.",
        parameters: &[text("timestamp")],
        variadic: None,
        result: Returns::Varies("object"),
        examples: &[("rfc3339_parse(\"2019-10-12T07:20:50.52Z\").weekday_name", "Saturday")],
        run: Run::Plain(|call| {
            let moment = Moment::parse(call.text(0)?).map_err(|message| wrong(0, message))?;
            Ok(parts(&moment, ("unix", Value::int(moment.unix()))))
        }),
    },
    Function {
        name: "timeadd",
        doc: "A point in time moved by a duration like `1h30m` or `-10s`. The offset stays, fractions of a second do not \
              show.",
        parameters: &[text("timestamp"), text("duration")],
        variadic: None,
        result: Returns::STRING,
        examples: &[("timeadd(\"2017-11-22T00:00:00Z\", \"10m\")", "2017-11-22T00:10:00Z")],
        run: Run::Plain(timeadd),
    },
    Function {
        name: "timestamp",
        doc: "Now, in UTC.",
        parameters: &[],
        variadic: None,
        result: Returns::STRING,
        examples: &[("length(timestamp())", "20")],
        run: Run::Plain(|_| {
            let now = Moment::utc(SystemTime::now()).map_err(failed)?;
            Ok(Value::string(now.rfc3339()))
        }),
    },
    Function {
        name: "unix_timestamp_parse",
        doc: "The parts of a point in time, given as whole seconds since 1970: as `rfc3339_parse` has them, with `rfc3339` \
              in place of `unix`.",
        parameters: &[number("seconds")],
        variadic: None,
        result: Returns::Varies("object"),
        examples: &[("unix_timestamp_parse(1686184027).rfc3339", "2023-06-08T00:27:07Z")],
        run: Run::Plain(|call| {
            let moment = Moment::of_unix(call.integer(0)?).map_err(failed)?;
            Ok(parts(&moment, ("rfc3339", Value::string(moment.rfc3339()))))
        }),
    },
];

/// A point in time as somebody's clock shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// What the clock shows.
    local: DateTime,
    /// How far the clock is ahead of UTC.
    offset_minutes: i32,
}

impl Moment {
    /// RFC 3339; the error is a fragment.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{} is not a point in time like `2006-01-02T15:04:05Z` (RFC 3339)",
                shown(written)
            )
        };
        Self::read(written).ok_or_else(wrong)
    }

    fn read(written: &str) -> Option<Self> {
        let (date, time) = written.split_once('T')?;
        let [year, month, day] = fields(date, '-', [4, 2, 2])?;
        let zone_at = time.find(['Z', '+', '-'])?;
        let (clock, zone) = time.split_at(zone_at);
        let (clock, fraction) = match clock.split_once('.') {
            Some((clock, fraction)) => (clock, Some(fraction)),
            None => (clock, None),
        };
        let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
        let nanosecond = match fraction {
            Some(digits) if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) => return None,
            Some(digits) => format!("{digits:0<9}").get(..9)?.parse().ok()?,
            None => 0,
        };
        let offset_minutes = match zone.split_at_checked(1)? {
            ("Z", "") => 0,
            (sign, distance) => {
                let [hours, minutes] = fields(distance, ':', [2, 2])?;
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let distance = i32::from(hours) * 60 + i32::from(minutes);
                if sign == "-" { -distance } else { distance }
            }
        };
        let small = |number: i16| i8::try_from(number).ok();
        // A civil time has no second 60.
        let local = DateTime::new(
            year,
            small(month)?,
            small(day)?,
            small(hour)?,
            small(minute)?,
            small(second)?,
            nanosecond,
        )
        .ok()?;
        Some(Self { local, offset_minutes })
    }

    /// A system's time.
    fn utc(time: SystemTime) -> Result<Self, String> {
        Ok(Self {
            local: layout::utc(time).ok_or("the clock shows a time beyond the year 9999")?,
            offset_minutes: 0,
        })
    }

    /// Whole seconds since 1970.
    fn of_unix(seconds: i64) -> Result<Self, String> {
        let local = DateTime::constant(1970, 1, 1, 0, 0, 0, 0)
            .checked_add(SignedDuration::from_secs(seconds))
            .map_err(|_| format!("{seconds} seconds from 1970 is beyond the year 9999"))?;
        Ok(Self {
            local,
            offset_minutes: 0,
        })
    }

    fn unix(&self) -> i64 {
        let since = self.local.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
        // Duration is cut toward zero, a point in time belongs to the second that has begun.
        let seconds = since.as_secs() - i64::from(since.subsec_nanos() < 0);
        seconds - i64::from(self.offset_minutes) * 60
    }

    /// Without fractions of a second.
    pub(super) fn rfc3339(&self) -> String {
        let zone = self.zone(":", "Z");
        let local = self.local;
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{zone}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute(),
            local.second()
        )
    }

    /// `+hh:mm` with whatever stands between, or a name for UTC.
    fn zone(&self, between: &str, utc: &str) -> String {
        if self.offset_minutes == 0 && !utc.is_empty() {
            return utc.to_owned();
        }
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let distance = self.offset_minutes.abs();
        format!("{sign}{:02}{between}{:02}", distance / 60, distance % 60)
    }
}

/// Numbers of a fixed count of digits each.
fn fields<const N: usize>(written: &str, separator: char, widths: [usize; N]) -> Option<[i16; N]> {
    let mut parts = written.split(separator);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts
            .next()
            .filter(|part| part.len() == width && part.bytes().all(|digit| digit.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn parts(moment: &Moment, extra: (&'static str, Value)) -> Value {
    let local = moment.local;
    let week = local.date().iso_week_date();
    let weekday = local.date().weekday().to_sunday_zero_offset();
    let int = |number: i64| Value::int(number);
    Value::object([
        ("year", int(local.year().into())),
        ("year_day", int(local.date().day_of_year().into())),
        ("day", int(local.day().into())),
        ("month", int(local.month().into())),
        ("month_name", Value::string(layout::month_name(local))),
        ("weekday", int(weekday.into())),
        ("weekday_name", Value::string(layout::weekday_name(local))),
        ("hour", int(local.hour().into())),
        ("minute", int(local.minute().into())),
        ("second", int(local.second().into())),
        ("iso_year", int(week.year().into())),
        ("iso_week", int(week.week().into())),
        extra,
    ])
}

fn timeadd(call: &Call<'_>) -> Result<Value, FunctionError> {
    let moment = Moment::parse(call.text(0)?).map_err(failed)?;
    let written = call.text(1)?;
    let nanoseconds = duration::parse(written)
        .map_err(|_| failed(format!("{} is not a duration like `1h30m` or `-10s`", shown(written))))?;
    let local = moment
        .local
        .checked_add(SignedDuration::from_nanos(nanoseconds))
        .map_err(|_| failed("the result lies beyond the year 9999"))?;
    Ok(Value::string(Moment { local, ..moment }.rfc3339()))
}

fn formatdate(call: &Call<'_>) -> Result<Value, FunctionError> {
    let moment = Moment::parse(call.text(1)?).map_err(|message| wrong(1, message))?;
    let mut shown_date = String::new();
    let mut rest = call.text(0)?;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("''") {
            shown_date.push('\'');
            rest = after;
            continue;
        }
        let end = if first == '\'' {
            end_of_quote(rest)
        } else {
            end_of_run(rest, first)
        };
        let (token, after) = end
            .and_then(|end| rest.split_at_checked(end))
            .ok_or_else(|| wrong(0, "the format ends within a quote: a `'` is missing"))?;
        rest = after;
        if first == '\'' {
            let inner = token.get(1..token.len() - 1).unwrap_or_default();
            shown_date.push_str(&inner.replace("''", "'"));
        } else if first.is_ascii_alphabetic() {
            shown_date.push_str(&part(token, &moment).ok_or_else(|| {
                wrong(
                    0,
                    format!(
                        "{} has no meaning in a format; put literal text between single quotes",
                        shown(token)
                    ),
                )
            })?);
        } else {
            shown_date.push_str(token);
        }
    }
    Ok(Value::string(shown_date))
}

/// The end of a quoted text, closing quote included; two quotes within are one character of the text.
fn end_of_quote(rest: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at += rest.get(at..)?.find('\'')? + 1;
        if !rest.get(at..)?.starts_with('\'') {
            return Some(at);
        }
        at += 1;
    }
}

fn end_of_run(rest: &str, first: char) -> Option<usize> {
    rest.find(|next| next != first).or(Some(rest.len()))
}

/// What a run of one letter stands for.
fn part(token: &str, moment: &Moment) -> Option<String> {
    let local = moment.local;
    let mut shown = String::new();
    let written = match token {
        "YYYY" => write!(shown, "{:04}", local.year()),
        "YY" => write!(shown, "{:02}", local.year().rem_euclid(100)),
        "MMMM" => write!(shown, "{}", layout::month_name(local)),
        "MMM" => write!(shown, "{:.3}", layout::month_name(local)),
        "MM" => write!(shown, "{:02}", local.month()),
        "M" => write!(shown, "{}", local.month()),
        "DD" => write!(shown, "{:02}", local.day()),
        "D" => write!(shown, "{}", local.day()),
        "EEEE" => write!(shown, "{}", layout::weekday_name(local)),
        "EEE" => write!(shown, "{:.3}", layout::weekday_name(local)),
        "hh" => write!(shown, "{:02}", local.hour()),
        "h" => write!(shown, "{}", local.hour()),
        "HH" => write!(shown, "{:02}", layout::twelve_hour(local)),
        "H" => write!(shown, "{}", layout::twelve_hour(local)),
        "AA" => write!(shown, "{}", if local.hour() < 12 { "AM" } else { "PM" }),
        "aa" => write!(shown, "{}", if local.hour() < 12 { "am" } else { "pm" }),
        "mm" => write!(shown, "{:02}", local.minute()),
        "m" => write!(shown, "{}", local.minute()),
        "ss" => write!(shown, "{:02}", local.second()),
        "s" => write!(shown, "{}", local.second()),
        "ZZZZZ" => write!(shown, "{}", moment.zone(":", "")),
        "ZZZZ" => write!(shown, "{}", moment.zone("", "")),
        "ZZZ" => write!(shown, "{}", moment.zone("", "UTC")),
        "Z" => write!(shown, "{}", moment.zone(":", "Z")),
        _ => return None,
    };
    written.is_ok().then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        let moment = Moment::parse("2019-10-12T14:20:50.52+07:00").unwrap();
        assert_eq!(moment.unix(), 1_570_864_850);
        assert_eq!(moment.rfc3339(), "2019-10-12T14:20:50+07:00");
        assert_eq!(Moment::parse("1969-12-31T23:59:59.5Z").unwrap().unix(), -1);
        for wrong in [
            "",
            "2018-01-02",
            "2018-01-02 03:04:05Z",
            "2018-01-02t03:04:05Z",
            "2018-01-02T03:04:05z",
            "2018-01-02T03:04:05",
            "2018-02-30T03:04:05Z",
            "2018-01-02T24:00:00Z",
            "2018-01-02T03:04:60Z",
            "2018-01-02T03:04:05.Z",
            "2018-01-02T03:04:05+0700",
            "2018-01-02T3:04:05Z",
            "+018-01-02T03:04:05Z",
        ] {
            assert!(Moment::parse(wrong).is_err(), "{wrong}");
        }
    }
}
