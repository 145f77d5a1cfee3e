use std::time::Duration;

use super::*;

fn at(seconds: i64) -> HttpDate {
    HttpDate::from_unix_seconds(seconds).unwrap()
}

/// 2026-11-22 12:00:00.
fn now() -> HttpDate {
    at(1_795_348_800)
}

#[test]
fn every_form_is_read_strictly() {
    for (input, expected) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
        ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
        ("Sun Nov 06 08:49:37 1994", Some(784_111_777)),
        ("Wed Nov 16 08:49:37 1994", Some(784_975_777)),
        (" Sun, 06 Nov 1994 08:49:37 GMT\t", Some(784_111_777)),
        // The day name need not fit the date.
        ("Mon, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        // The first second of 1970, dates before it, and the first and the last date.
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1)),
        ("Sat, 01 Jan 0000 00:00:00 GMT", Some(-62_167_219_200)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
        ("Fri, 31 Dec 9999 23:59:60 GMT", Some(253_402_300_799)),
        // Leap seconds and leap days.
        ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800)),
        ("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800)),
        ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
        ("Wed, 29 Feb 2023 00:00:00 GMT", None),
        ("Thu, 29 Feb 1900 00:00:00 GMT", None),
        ("Fri, 30 Feb 2024 00:00:00 GMT", None),
        ("Sat, 31 Nov 2024 00:00:00 GMT", None),
        ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 24:00:00 GMT", None),
        ("Sun, 06 Nov 1994 23:60:00 GMT", None),
        ("Sun, 06 Nov 1994 23:59:61 GMT", None),
        // Dates that do not follow the grammar exactly.
        ("", None),
        ("0", None),
        ("784111777", None),
        ("1994-11-06T08:49:37Z", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT; length=5", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 UTC", None),
        ("Sun, 06 Nov 1994 08:49:37 +0000", None),
        ("Sun, 06 Nov 1994 08:49:37 gmt", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 nov 1994 08:49:37 GMT", None),
        ("sun, 06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 94 08:49:37 GMT", None),
        ("Sun,  06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 10000 08:49:37 GMT", None),
        ("Sun, 06 Nov -994 08:49:37 GMT", None),
        ("Sun, +6 Nov 1994 08:49:37 GMT", None),
        ("Sunday, 06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06-Nov-94 08:49:37 GMT", None),
        ("Sun Nov 6 08:49:37 1994", None),
        ("Sun Nov  6 08:49:37 1994 GMT", None),
    ] {
        assert_eq!(
            HttpDate::parse(input, now()).map(HttpDate::unix_seconds),
            expected,
            "{input:?}"
        );
    }
}

#[test]
fn a_two_digit_year_lies_at_most_fifty_years_ahead() {
    let year =
        |input: &str, now: HttpDate| HttpDate::parse(input, now).map(|date| date.civil().year);
    for (input, now, expected) in [
        ("Sunday, 22-Nov-76 12:00:00 GMT", now(), Some(2076)),
        ("Sunday, 22-Nov-76 12:00:01 GMT", now(), Some(1976)),
        ("Sunday, 22-Nov-77 12:00:00 GMT", now(), Some(1977)),
        ("Sunday, 22-Nov-26 12:00:00 GMT", now(), Some(2026)),
        ("Sunday, 22-Nov-00 12:00:00 GMT", now(), Some(2000)),
        ("Sunday, 22-Nov-75 12:00:00 GMT", now(), Some(2075)),
        // The results if the current year is 1994, and if it is 2070.
        ("Sunday, 22-Nov-26 12:00:00 GMT", at(784_111_777), Some(2026)),
        ("Sunday, 22-Nov-94 12:00:00 GMT", at(784_111_777), Some(1994)),
        ("Sunday, 22-Nov-94 12:00:00 GMT", at(3_155_760_000), Some(2094)),
        ("Sunday, 22-Nov-26 12:00:00 GMT", at(3_155_760_000), Some(2026)),
        // 2100 is no leap year, 2000 was one.
        ("Tuesday, 29-Feb-00 12:00:00 GMT", now(), Some(2000)),
        ("Tuesday, 29-Feb-00 12:00:00 GMT", at(2_840_140_800), None),
    ] {
        assert_eq!(year(input, now), expected, "{input:?} at {now}");
    }
}

#[test]
fn what_is_written_is_read_back_over_ten_thousand_years() {
    let mut seconds = HttpDate::MIN.unix_seconds();
    while let Some(date) = HttpDate::from_unix_seconds(seconds) {
        assert_eq!(HttpDate::parse(date.to_string(), now()), Some(date), "{date}");
        seconds += 86_400 * 13 + 12_347;
    }
}

#[test]
fn httpdate_agrees_where_it_reads_at_all() {
    for seconds in (0..253_402_300_799_i64).step_by(86_400 * 17 + 54_321) {
        let time = UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
        assert_eq!(HttpDate::try_from(time).unwrap().to_string(), httpdate::fmt_http_date(time));
    }
}

#[test]
fn system_times_never_panic() {
    let second = Duration::from_secs(1);
    for (time, expected) in [
        (Some(UNIX_EPOCH), Some(0)),
        (UNIX_EPOCH.checked_add(Duration::from_millis(1_999)), Some(1)),
        (UNIX_EPOCH.checked_sub(Duration::from_millis(1)), Some(-1)),
        (UNIX_EPOCH.checked_sub(second), Some(-1)),
        (UNIX_EPOCH.checked_add(Duration::from_secs(253_402_300_799)), Some(253_402_300_799)),
        (UNIX_EPOCH.checked_add(Duration::from_secs(253_402_300_800)), None),
        (UNIX_EPOCH.checked_sub(Duration::from_secs(62_167_219_201)), None),
        (UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX.unsigned_abs())), None),
        (UNIX_EPOCH.checked_sub(Duration::from_secs(i64::MAX.unsigned_abs())), None),
    ] {
        let Some(time) = time else { continue };
        assert_eq!(HttpDate::try_from(time).ok().map(HttpDate::unix_seconds), expected, "{time:?}");
        let end = if time < UNIX_EPOCH { HttpDate::MIN } else { HttpDate::MAX };
        assert_eq!(
            HttpDate::nearest(time).unix_seconds(),
            expected.unwrap_or(end.unix_seconds()),
            "{time:?}"
        );
    }
}
