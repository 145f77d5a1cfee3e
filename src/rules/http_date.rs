//! HTTP dates. Three formats are read, and one of them is written ([RFC 9110,
//! section 5.6.7](https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.7)).
//!
//! ```text
//! IMF-fixdate  = day-name "," SP 2DIGIT SP month SP 4DIGIT
//!                SP time-of-day SP %s"GMT"
//! rfc850-date  = day-name-l "," SP 2DIGIT "-" month "-" 2DIGIT
//!                SP time-of-day SP %s"GMT"
//! asctime-date = day-name SP month SP ( 2DIGIT / ( SP DIGIT ) )
//!                SP time-of-day SP 4DIGIT
//! time-of-day  = hour ":" minute ":" second    ; 00:00:00 - 23:59:60
//! ```
//!
//! The parser follows the grammar exactly. It would not be safe to reject a valid date:
//! if the date of If-Unmodified-Since is invalid, the field is ignored, and the write
//! runs. Second 60 and all years from 0 to 9999 are valid. A day name that does not fit
//! its date is valid, too, because the grammar does not forbid it. The crate `httpdate`
//! rejects some of these valid dates, so this crate has its own parser.

use std::{
    fmt,
    num::NonZeroU64,
    time::{SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;

/// An HTTP date, in whole seconds, from year 0 to year 9999.
///
/// # Examples
///
/// ```
/// use tower_conditional::HttpDate;
///
/// let date = HttpDate::from_unix_seconds(784_111_777).unwrap();
/// assert_eq!(date.to_string(), "Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!(HttpDate::parse("Sun, 06 Nov 1994 08:49:37 GMT", date), Some(date));
/// assert_eq!(HttpDate::parse("Sunday, 06-Nov-94 08:49:37 GMT", date), Some(date));
/// assert_eq!(HttpDate::parse("Sun Nov  6 08:49:37 1994", date), Some(date));
/// assert_eq!(HttpDate::parse("1994-11-06T08:49:37Z", date), None);
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HttpDate {
    /// The seconds since the start of year 0, plus 1. The value is never zero, so
    /// `Option<HttpDate>` has the size of `HttpDate`.
    place: NonZeroU64,
}

impl HttpDate {
    /// The first second of year 0.
    pub(crate) const MIN: Self = Self { place: NonZeroU64::MIN };
    /// The last second of year 9999.
    pub(crate) const MAX: Self = Self { place: NonZeroU64::MIN.saturating_add(315_569_519_999) };

    /// Makes a date from seconds since 1970. Seconds before 1970 are negative.
    ///
    /// Returns `None` outside of the years 0 to 9999.
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Option<Self> {
        let since_year_0 = seconds.checked_add(YEAR_0)?;
        let date = Self { place: NonZeroU64::MIN.checked_add(since_year_0.try_into().ok()?)? };
        (date <= Self::MAX).then_some(date)
    }

    /// Returns `time` as a date. A time outside of the years 0 to 9999 becomes the
    /// first or the last date.
    pub(crate) fn nearest(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self { place: EPOCH.place.saturating_add(after.as_secs()) }.min(Self::MAX),
            Err(_) => Self::try_from(time).unwrap_or(Self::MIN),
        }
    }

    /// Returns the seconds since 1970. Seconds before 1970 are negative.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.place.get().cast_signed() - 1 - YEAR_0
    }

    /// Parses one date, in any of the three formats of HTTP.
    ///
    /// Returns `None` for text in another format. In the format of RFC 850
    /// (`Sunday, 06-Nov-94 08:49:37 GMT`) the year has two digits. The century is
    /// chosen so that the date is at most 50 years after `now`.
    #[must_use]
    pub fn parse(value: impl AsRef<[u8]>, now: Self) -> Option<Self> {
        Self::parse_with(value.as_ref(), || now)
    }

    /// Parses one date. `now` is called only for a two-digit year.
    pub(crate) fn parse_with(value: &[u8], now: impl FnOnce() -> Self) -> Option<Self> {
        imf_fixdate(value).or_else(|| {
            let value = super::trim_ows(value);
            let mut reader = Reader { rest: value };
            match value.iter().position(|&byte| byte == b',') {
                Some(3) => imf_fixdate(value),
                Some(_) => reader.rfc850_date(now),
                None => reader.asctime_date(),
            }
        })
    }

    /// Returns the next second, or the last date if `self` is the last date.
    pub(crate) fn next_second(self) -> Self {
        Self { place: self.place.saturating_add(1) }.min(Self::MAX)
    }

    fn from_civil(civil: Civil) -> Option<Self> {
        let Civil { year, month, day, hour, minute, second } = civil;
        if day == 0 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        // A leap second becomes the second after it, except at the end of year 9999.
        Self::from_unix_seconds(seconds.min(Self::MAX.unix_seconds()))
    }

    fn civil(self) -> Civil {
        let days = self.unix_seconds().div_euclid(86_400);
        let time = self.unix_seconds().rem_euclid(86_400);
        // Starts with an estimated year, which is at most two years too early.
        let (mut year, mut month) = (1969 + (days * 400).div_euclid(146_097), 12);
        while days_before(year + 1, 1, 1) <= days {
            year += 1;
        }
        while days_before(year, month, 1) > days {
            month -= 1;
        }
        let day = days - days_before(year, month, 1) + 1;
        Civil { year, month, day, hour: time / 3_600, minute: time / 60 % 60, second: time % 60 }
    }
}

impl TryFrom<SystemTime> for HttpDate {
    type Error = HttpDateOutOfRange;

    /// Rounds down to whole seconds.
    fn try_from(time: SystemTime) -> Result<Self, Self::Error> {
        let seconds = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).ok(),
            Err(before) => {
                let before = before.duration();
                let whole = i64::try_from(before.as_secs()).ok();
                whole.and_then(|whole| (-whole).checked_sub(i64::from(before.subsec_nanos() > 0)))
            }
        };
        seconds.and_then(Self::from_unix_seconds).ok_or(HttpDateOutOfRange(()))
    }
}

impl fmt::Display for HttpDate {
    /// Writes the preferred format, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = self.civil();
        let weekday = usize::try_from((self.unix_seconds().div_euclid(86_400) + 4).rem_euclid(7));
        let day_name = weekday.ok().and_then(|index| DAYS.get(index)).map_or("", |name| &name[..3]);
        let month_name =
            usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"");
        write!(
            f,
            "{day_name}, {day:02} {month_name} {year:04} {hour:02}:{minute:02}:{second:02} GMT"
        )
    }
}

impl fmt::Debug for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpDate({self})")
    }
}

impl From<HttpDate> for HeaderValue {
    fn from(date: HttpDate) -> Self {
        Self::try_from(date.to_string()).expect("a date is visible ASCII")
    }
}

/// The error for a time outside of the years 0 to 9999.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HttpDateOutOfRange(());

impl fmt::Display for HttpDateOutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an HTTP date must be in the years 0 to 9999")
    }
}

impl std::error::Error for HttpDateOutOfRange {}

/// The error for text that is not an HTTP date in any of the three formats.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidHttpDate(());

impl InvalidHttpDate {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl fmt::Display for InvalidHttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an HTTP date, such as `Sun, 06 Nov 1994 08:49:37 GMT`")
    }
}

impl std::error::Error for InvalidHttpDate {}

/// The fields of a date and time of day. Their order is deliberately from year to
/// second, so that the derived `Ord` is chronological.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

/// Reads the preferred format, in which each field has a fixed position.
#[rustfmt::skip]
fn imf_fixdate(value: &[u8]) -> Option<HttpDate> {
    let [
        w1, w2, w3, b',', b' ', d1, d2, b' ', m1, m2, m3, b' ', y1, y2, y3, y4, b' ',
        h1, h2, b':', n1, n2, b':', s1, s2, b' ', b'G', b'M', b'T',
    ] = *value else { return None };
    let (b"Sun" | b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat") = &[w1, w2, w3] else {
        return None;
    };
    let month = match &[m1, m2, m3] {
        b"Jan" => 1, b"Feb" => 2, b"Mar" => 3, b"Apr" => 4, b"May" => 5, b"Jun" => 6,
        b"Jul" => 7, b"Aug" => 8, b"Sep" => 9, b"Oct" => 10, b"Nov" => 11, b"Dec" => 12,
        _ => return None,
    };
    let digits = [y1, y2, y3, y4, d1, d2, h1, h2, n1, n2, s1, s2];
    if !digits.iter().fold(true, |all, digit| all & digit.is_ascii_digit()) {
        return None;
    }
    let two = |ten: u8, one: u8| i64::from((ten & 0xF) * 10 + (one & 0xF));
    let (year, day) = (two(y1, y2) * 100 + two(y3, y4), two(d1, d2));
    let (hour, minute, second) = (two(h1, h2), two(n1, n2), two(s1, s2));
    HttpDate::from_civil(Civil { year, month, day, hour, minute, second })
}

/// Reads a date in one of the two other formats. The methods return `None` at the first
/// byte that does not fit.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn rfc850_date(&mut self, now: impl FnOnce() -> HttpDate) -> Option<HttpDate> {
        self.one_of(&DAYS, |name| name)?;
        self.literal(", ")?;
        let day = self.digits(2)?;
        self.literal("-")?;
        let month = self.one_of(&MONTHS, |name| name)?;
        self.literal("-")?;
        let two_digits = self.digits(2)?;
        self.literal(" ")?;
        let (hour, minute, second) = self.time_of_day()?;
        self.literal(" GMT")?;

        let now = now().civil();
        let latest = Civil { year: now.year + 50, ..now };
        let mut civil = Civil {
            year: now.year - now.year % 100 + 100 + two_digits,
            month,
            day,
            hour,
            minute,
            second,
        };
        while civil > latest {
            civil.year -= 100;
        }
        self.end(civil)
    }

    fn asctime_date(&mut self) -> Option<HttpDate> {
        self.one_of(&DAYS, |name| &name[..3])?;
        self.literal(" ")?;
        let month = self.one_of(&MONTHS, |name| name)?;
        self.literal(" ")?;
        let day = if self.literal(" ").is_some() { self.digits(1)? } else { self.digits(2)? };
        self.literal(" ")?;
        let (hour, minute, second) = self.time_of_day()?;
        self.literal(" ")?;
        let year = self.digits(4)?;
        self.end(Civil { year, month, day, hour, minute, second })
    }

    fn time_of_day(&mut self) -> Option<(i64, i64, i64)> {
        let hour = self.digits(2)?;
        self.literal(":")?;
        let minute = self.digits(2)?;
        self.literal(":")?;
        let second = self.digits(2)?;
        Some((hour, minute, second))
    }

    fn literal(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text.as_bytes())?;
        Some(())
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        let value = |sum: i64, digit: &u8| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        };
        digits.iter().try_fold(0, value)
    }

    /// Reads one of `names`, and returns its position in `names`, counted from 1.
    /// `form` returns the expected text of a name, such as its first three letters.
    fn one_of(
        &mut self,
        names: &[&'static str],
        form: impl Fn(&'static str) -> &'static str,
    ) -> Option<i64> {
        for (name, place) in names.iter().zip(1..) {
            if self.literal(form(name)).is_some() {
                return Some(place);
            }
        }
        None
    }

    fn end(&self, civil: Civil) -> Option<HttpDate> {
        self.rest.is_empty().then(|| HttpDate::from_civil(civil))?
    }
}

/// Returns the days from 1970-01-01 to the given day of the proleptic Gregorian
/// calendar, for year 0 and later.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    // Here a year starts in March, so that the leap day is its last day. From March on,
    // the lengths of the months repeat every five months: 31, 30, 31, 30 and 31 days, 153
    // days in total. Years are counted from the year -400, so that no count is negative.
    let (year, month) = if month < 3 { (year + 399, month + 9) } else { (year + 400, month - 3) };
    let years = year * 365 + year / 4 - year / 100 + year / 400;
    let months = (month * 153 + 2) / 5;
    years + months + day - 1 - FROM_YEAR_MINUS_400
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The days from March 1 of the year -400 to January 1, 1970.
const FROM_YEAR_MINUS_400: i64 = 146_097 + 719_468;

/// The seconds from year 0 to 1970.
const YEAR_0: i64 = 62_167_219_200;

/// The first second of 1970.
const EPOCH: HttpDate = HttpDate { place: NonZeroU64::MIN.saturating_add(YEAR_0.unsigned_abs()) };

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests;
