//! The text of dates that are sent again and again.

use std::cell::RefCell;

use http::HeaderValue;

use crate::rules::HttpDate;

/// Returns the text of a date. Each thread keeps a few, so that most are not written
/// anew.
pub(crate) fn date_text(date: HttpDate) -> HeaderValue {
    thread_local! {
        static TEXTS: RefCell<[Option<(HttpDate, HeaderValue)>; PLACES]> =
            const { RefCell::new([const { None }; PLACES]) };
    }
    let place = usize::try_from(date.unix_seconds().rem_euclid(PLACES as i64)).unwrap_or(0);
    TEXTS.with_borrow_mut(|texts| {
        let Some(text) = texts.get_mut(place) else { return date.into() };
        match text {
            Some((of, text)) if *of == date => text.clone(),
            _ => text.insert((date, date.into())).1.clone(),
        }
    })
}

const PLACES: usize = 64;
