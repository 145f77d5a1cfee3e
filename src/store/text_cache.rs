//! The text of dates and lengths. It is cached, because the same values are sent
//! again and again.

use std::{cell::RefCell, thread::LocalKey};

use http::HeaderValue;

use crate::rules::HttpDate;

/// Returns the text of a date. Each thread keeps 64 texts, so that most dates are not
/// formatted again.
pub(crate) fn date_text(date: HttpDate) -> HeaderValue {
    thread_local!(static TEXTS: Texts<HttpDate> = const { RefCell::new([const { None }; PLACES]) });
    cached(&TEXTS, date.unix_seconds().cast_unsigned(), date)
}

/// Returns the text of a length. Each thread also keeps 64 texts of lengths.
pub(crate) fn length_text(length: u64) -> HeaderValue {
    thread_local!(static TEXTS: Texts<u64> = const { RefCell::new([const { None }; PLACES]) });
    cached(&TEXTS, length, length)
}

type Texts<T> = RefCell<[Option<(T, HeaderValue)>; PLACES]>;

fn cached<T: Copy + PartialEq>(
    texts: &'static LocalKey<Texts<T>>,
    place: u64,
    value: T,
) -> HeaderValue
where
    HeaderValue: From<T>,
{
    let place = usize::try_from(place % PLACES as u64).unwrap_or(0);
    texts.with_borrow_mut(|texts| match texts.get_mut(place) {
        Some(Some((of, text))) if *of == value => text.clone(),
        Some(text) => text.insert((value, value.into())).1.clone(),
        None => value.into(),
    })
}

const PLACES: usize = 64;
