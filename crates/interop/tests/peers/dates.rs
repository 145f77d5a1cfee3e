//! Dates, against `httpdate` and the reader of mail dates in `jiff`.

use std::time::UNIX_EPOCH;

use jiff::{civil::Date, fmt::rfc2822, Timestamp};
use tower_conditional::HttpDate;

use crate::{input::Input, Comparison, Right, Row};

type DateRow = Row<String, Option<i64>>;

const HTTPDATE: [DateRow; 4] = [
    Row {
        name: "second 60",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: 00:00:00 - 23:59:60",
        example: || "Sat, 31 Dec 2016 23:59:60 GMT".to_owned(),
        explains: |text, ours, theirs| text.contains(":60") && ours.is_some() && theirs.is_none(),
    },
    Row {
        name: "a year before 1970",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: year = 4DIGIT",
        example: || "Wed, 31 Dec 1969 23:59:59 GMT".to_owned(),
        explains: |_, ours, theirs| ours.is_some_and(|date| date < 0) && theirs.is_none(),
    },
    Row {
        name: "a day name of another day",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: the grammar does not tie it to the date",
        example: || "Mon, 06 Nov 1994 08:49:37 GMT".to_owned(),
        explains: |text, ours, theirs| {
            ours.is_some_and(|date| !has_day_name(text, date)) && theirs.is_none()
        },
    },
    Row {
        name: "RFC 850 with any byte between the year and the hour",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: rfc850-date = day-name-l \",\" SP date2 SP time-of-day SP GMT",
        example: || "Monday, 30-May-94A12:59:37 GMT".to_owned(),
        explains: |text, ours, theirs| {
            let after_date = text.rsplit_once('-').and_then(|(_, rest)| rest.as_bytes().get(2));
            after_date.is_some_and(|byte| *byte != b' ') && ours.is_none() && theirs.is_some()
        },
    },
];

const JIFF: [DateRow; 5] = [
    Row {
        name: "the two obsolete forms",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: a recipient MUST accept all three; jiff reads mail dates",
        example: || "Sunday, 06-Nov-94 08:49:37 GMT".to_owned(),
        explains: |text, ours, theirs| {
            !is_preferred_form(text) && ours.is_some() && theirs.is_none()
        },
    },
    Row {
        name: "what only a mail date may have: zones, comments, short years, no day name",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: a fixed-length and single-zone subset, case-sensitive",
        example: || "Sun, 6 Nov 1994 08:49:37 -0500".to_owned(),
        explains: |text, ours, theirs| {
            !is_preferred_form(text) && ours.is_none() && theirs.is_some()
        },
    },
    Row {
        name: "second 60",
        right: Right::Either,
        because: "ours is the second after, jiff's the one before",
        example: || "Sat, 31 Dec 2016 23:59:60 GMT".to_owned(),
        explains: |text, ours, theirs| {
            let (Some(ours), Some(theirs)) = (ours, theirs) else { return false };
            text.contains(":60") && ours - theirs == 1
        },
    },
    Row {
        name: "a day name that is none",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: day-name, case-sensitive",
        example: || "sun, 06 Nov 1994 08:49:37 GMT".to_owned(),
        explains: |_, ours, theirs| ours.is_none() && theirs.is_some(),
    },
    Row {
        name: "the last 26 hours of the year 9999",
        right: Right::Ours,
        because: "RFC 9110, 5.6.7: year = 4DIGIT; a timestamp of jiff leaves room for zones",
        example: || "Thu, 30 Dec 9999 23:59:37 GMT".to_owned(),
        explains: |_, ours, theirs| {
            let last = Timestamp::MAX.as_second();
            ours.is_some_and(|date| date > last) && theirs.is_none()
        },
    },
];

#[test]
fn dates_httpdate() {
    let theirs = |text: &String| httpdate::parse_http_date(text).ok().map(seconds);
    Comparison { peer: "httpdate", rows: &HTTPDATE, ours, theirs }.run(text);
}

#[test]
fn dates_jiff() {
    let theirs = |text: &String| {
        let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
        parser.parse_timestamp(text).ok().map(Timestamp::as_second)
    };
    Comparison { peer: "jiff", rows: &JIFF, ours, theirs }.run(text);
}

/// What is written is the same, for all dates that both can write.
#[test]
fn dates_are_written_alike() {
    let mut number = crate::numbers(1);
    for _ in 0..crate::rounds() {
        let second = i64::try_from(number() % 315_569_520_000).unwrap() - 62_167_219_200;
        let ours = HttpDate::from_unix_seconds(second).unwrap().to_string();
        let time = Timestamp::from_second(second.min(253_000_000_000)).unwrap();
        if time.as_second() == second {
            let printer = rfc2822::DateTimePrinter::new();
            assert_eq!(printer.timestamp_to_rfc9110_string(&time).unwrap(), ours);
        }
        if let Ok(second) = u64::try_from(second) {
            let time = UNIX_EPOCH + std::time::Duration::from_secs(second);
            assert_eq!(httpdate::fmt_http_date(time), ours);
        }
    }
}

/// Ours, at a time for which years of two digits lie where `httpdate` puts them.
fn ours(text: &String) -> Option<i64> {
    let now = HttpDate::from_unix_seconds(1_577_836_799).unwrap();
    HttpDate::parse(text, now).map(HttpDate::unix_seconds)
}

fn seconds(time: std::time::SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

/// Returns true if the text begins with the name of the day of this date, or of the day
/// before: a leap second is counted to the next.
fn has_day_name(text: &str, date: i64) -> bool {
    let date = HttpDate::from_unix_seconds(date).unwrap().to_string();
    text.trim_start().starts_with(&date[..3])
}

/// Returns true if letters and digits are where IMF-fixdate has them.
fn is_preferred_form(text: &str) -> bool {
    let form = b"Aaa, 00 Aaa 0000 00:00:00 GMT";
    let text = text.trim_matches([' ', '\t']).as_bytes();
    text.len() == form.len()
        && text.iter().zip(form).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'A' | b'a' => byte.is_ascii_alphabetic(),
            _ => byte == form,
        }
        || form.is_ascii_uppercase() && byte == form)
}

/// A date in one of the three forms, as often with a fault as without.
fn text(input: &mut Input<'_>) -> String {
    let year = match input.below(4) {
        0 => i16::from(input.byte()) * 39 + i16::from(input.byte() % 39),
        1 => 1969 + i16::from(input.byte() % 3),
        _ => input.pick(&[0, 69, 70, 1582, 1900, 1994, 2000, 2016, 2019, 2024, 2069, 2100, 9999]),
    };
    let month = input.below(12);
    let day = input.pick(&[1, 6, 9, 10, 28, 29, 30, 31, 0, 32]);
    let hour = input.pick(&[0, 8, 12, 23, 24]);
    let [minute, second] = [(); 2].map(|()| input.pick(&[0, 37, 49, 59, 60]));
    let date = Date::new(year, i8::try_from(month).unwrap() + 1, day);
    let fits = date.ok().filter(|_| !input.one_in(8));
    let weekday = fits.map(|date| date.weekday().to_sunday_zero_offset().cast_unsigned().into());
    let name = DAYS[weekday.unwrap_or_else(|| input.below(7))];
    let (month, short, time) =
        (MONTHS[month], &name[..3], format!("{hour:02}:{minute:02}:{second:02}"));
    let text = match input.below(4) {
        0 => format!("{name}, {day:02}-{month}-{:02} {time} GMT", year % 100),
        1 => format!("{short} {month} {day:2} {time} {year:04}"),
        _ => format!("{short}, {day:02} {month} {year:04} {time} GMT"),
    };
    if input.flag() {
        return text;
    }
    damaged(input, text.into_bytes())
}

/// Changes, adds or removes a byte or a part.
fn damaged(input: &mut Input<'_>, mut text: Vec<u8>) -> String {
    let place = input.below(text.len());
    let byte = input.pick(b" \t,-:+09AaGMTZ()");
    match input.below(7) {
        0 => text[place] = byte,
        1 => text.insert(place, byte),
        2 => drop(text.remove(place)),
        3 => text[place] = text[place] ^ 0x20 | 0x20 & text[place].wrapping_sub(0x40),
        4 => text.truncate(place),
        5 => {
            let zone = input.pick(&["+0000", "EST", "UT", "-0500", "GMT (comment)", "gmt", "Z"]);
            text.truncate(text.len().saturating_sub(3));
            text.extend(zone.bytes());
        }
        _ => {
            let space = input.pick(&[" ", "\t", "  "]);
            text.splice(0..0, space.bytes());
        }
    }
    String::from_utf8(text).unwrap_or_default()
}

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
