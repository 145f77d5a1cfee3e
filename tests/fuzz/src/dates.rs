//! Dates: another parser agrees where both accept, and what is written is read again.
//!
//! The input is a present time, in eight bytes, and the text of a date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{header::IF_MODIFIED_SINCE, HeaderMap, HeaderValue, Method};
use tower_conditional::{Decision, HttpDate, LastModified, Preconditions, Validators};

use super::input::Input;

pub fn holds(input: &[u8]) {
    let mut input = Input(input);
    let time = input.take(8).iter().fold(0, |sum, &byte| sum << 8 | i64::from(byte));
    let text = input.0;
    // The years 0 to 9999, and a little beyond.
    let seconds = time.rem_euclid(316_000_000_000) - 62_200_000_000;
    if let Some(date) = HttpDate::from_unix_seconds(seconds) {
        is_written_and_read(date);
    }
    let now = HttpDate::from_unix_seconds(seconds.clamp(-62_000_000_000, 253_000_000_000)).unwrap();
    let Some(date) = HttpDate::parse(text, now) else {
        return another_accepts_only_impossible_days(text);
    };
    is_written_and_read(date);

    // Only a year of two digits depends on the present: it is at most 50 years ahead,
    // and less than 50 ago.
    let (early, late) = (
        HttpDate::from_unix_seconds(END_OF_2019).unwrap(),
        HttpDate::from_unix_seconds(0).unwrap(),
    );
    let fixed = HttpDate::parse(text, early).unwrap();
    if fixed != date || fixed != HttpDate::parse(text, late).unwrap() {
        assert!(text.contains(&b'-') && text.contains(&b','), "{}", text.escape_ascii());
        let ahead = date.unix_seconds() - now.unix_seconds();
        assert!((-51 * YEAR..51 * YEAR).contains(&ahead), "{} at {now}", text.escape_ascii());
    }
    if let Some(other) = another(text) {
        assert_eq!(fixed.unix_seconds(), seconds_of(other), "{}", text.escape_ascii());
    }

    let Ok(line) = HeaderValue::from_bytes(text) else { return };
    let headers = HeaderMap::from_iter([(IF_MODIFIED_SINCE, line)]);
    let asked = Preconditions::new(&Method::GET, &headers);
    let given = |date: HttpDate| Validators::new().last_modified(LastModified::Given(date));
    if fixed == date {
        let later = HttpDate::from_unix_seconds(date.unix_seconds() + 1);
        assert_eq!(asked.evaluate(given(date)), Decision::NotModified);
        let is_modified = |date| asked.evaluate(given(date)) == Decision::Proceed;
        assert!(later.is_none_or(is_modified) || text.contains(&b'-'));
    }
}

fn is_written_and_read(date: HttpDate) {
    let text = date.to_string();
    assert_eq!(HttpDate::parse(&text, date), Some(date), "{text}");
    assert_eq!(HttpDate::parse(format!(" {text}\t"), date), Some(date), "{text}");
    if let Ok(seconds) = u64::try_from(date.unix_seconds()) {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(HttpDate::try_from(time), Ok(date));
        assert_eq!(HttpDate::try_from(time + Duration::from_millis(999)), Ok(date));
        assert_eq!(text, httpdate::fmt_http_date(time));
    }
}

/// What the other parser accepts and ours does not is no date: it takes the 31st of any
/// month.
fn another_accepts_only_impossible_days(text: &[u8]) {
    if let Some(other) = another(text) {
        let written = httpdate::fmt_http_date(other);
        let has = |part: &str| text.windows(part.len()).any(|window| window == part.as_bytes());
        let is_as_written = has(&written[5..7]) || has(written[5..7].trim_start_matches('0'));
        assert!(!is_as_written || !has(&written[8..11]), "{} is a date", text.escape_ascii());
    }
}

/// Asks the other parser, of what a field may hold: it takes any white space off the
/// ends, and a field has but two kinds.
fn another(text: &[u8]) -> Option<SystemTime> {
    if !text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return None;
    }
    httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()
}

fn seconds_of(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

const YEAR: i64 = 366 * 86_400;

/// Then years of two digits lie where the other parser puts them.
const END_OF_2019: i64 = 1_577_836_799;
