//! Parts of content: what is sent is what a naive reader of `Range` would cut out.
//!
//! The input is how the content is cut into frames, its length, and the value of
//! `Range`.

use std::{convert::Infallible, future::ready, rc::Rc};

use bytes::Bytes;
use http::{
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, IF_RANGE, RANGE},
    HeaderValue, Request, Response,
};
use tower::{service_fn, Layer, Service};
use tower_conditional::{ConditionalLayer, EntityTag};

use super::{
    input::Input,
    script::{content, logged, read, run, Log, Step},
};

pub fn holds(input: &[u8]) {
    let mut input = Input(input);
    let len = input.below(80);
    let whole: Bytes = (0..len).map(|place| b'0' + place as u8).collect();
    let mut steps = Vec::new();
    let mut rest = whole.clone();
    for _ in 0..input.below(4) {
        let cut = input.below(40).min(rest.len());
        steps.push(Step::Data(rest.split_to(cut)));
        steps.extend(input.flag().then_some(Step::Yield));
    }
    steps.push(Step::Data(rest));
    let (knows_size, tells_end, has_length) = (input.flag(), input.flag(), input.flag());
    let if_range = input.pick(&[None, None, Some(true), Some(false)]);
    let Ok(range) = HeaderValue::from_bytes(input.0) else { return };

    let outside = Rc::<Log>::default();
    let script = logged(steps, &outside).telling_end(tells_end);
    let script = if knows_size { script.exact(len as u64) } else { script };
    let mut response = Response::new(script);
    if has_length {
        response.headers_mut().insert(CONTENT_LENGTH, len.into());
    }
    let mut response = Some(response);
    let mut request = Request::new(());
    request.headers_mut().insert(RANGE, range.clone());
    if let Some(is_current) = if_range {
        let tag = EntityTag::of(if is_current { &whole } else { b"other" });
        request.headers_mut().insert(IF_RANGE, tag.into());
    }
    let inner = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(response.take().unwrap())));
    let mut service = ConditionalLayer::new().ranges(true).layer(inner);
    let sent = run(service.call(request), usize::MAX, &outside).unwrap().unwrap();
    let (head, body) = sent.into_parts();
    let (events, _) = read(body, usize::MAX, &outside);
    let got = content(&events);

    let field = |name| head.headers.get(name).map(|value| value.to_str().unwrap());
    // Of nothing, all is sent.
    let part =
        naive(input.0).filter(|_| if_range != Some(false) && len > 0).map(|range| range.of(len));
    match part {
        // Content read to its end is one of known length, whatever it said before.
        None => assert_eq!((head.status.as_u16(), &got[..]), (200, &whole[..]), "{range:?}"),
        Some(None) => {
            assert_eq!((head.status.as_u16(), got.len()), (416, 0), "{range:?} of {len}");
            assert_eq!(field(CONTENT_RANGE), Some(&*format!("bytes */{len}")));
        }
        Some(Some((first, last))) => {
            assert_eq!(
                (head.status.as_u16(), &got[..]),
                (206, &whole[first..=last]),
                "{range:?} of {len}"
            );
            assert_eq!(field(CONTENT_RANGE), Some(&*format!("bytes {first}-{last}/{len}")));
            assert_eq!(field(CONTENT_LENGTH), Some(&*(last - first + 1).to_string()));
        }
    }
    assert_eq!(field(ACCEPT_RANGES), Some("bytes"));
    drop(response);
    assert_eq!(outside.alive(), 0);
}

/// The first and the last byte that are asked for, where they are.
struct Asked(Option<u128>, Option<u128>);

fn naive(value: &[u8]) -> Option<Asked> {
    let text = std::str::from_utf8(value).ok()?;
    let (unit, set) = text.split_once('=')?;
    let (first, last) = set.trim_matches([' ', '\t']).split_once('-')?;
    let number = |digits: &str| match digits {
        "" => Some(None),
        _ if !digits.bytes().all(|byte| byte.is_ascii_digit()) => None,
        // Deliberately alike: numbers beyond 64 bits are all beyond the end, and not
        // told apart.
        _ => Some(Some(digits.parse().unwrap_or(u128::MAX).min(u64::MAX.into()))),
    };
    let (first, last) = (number(first)?, number(last)?);
    let is_range = match (first, last) {
        (Some(first), Some(last)) => first <= last,
        (None, None) => false,
        _ => true,
    };
    (unit.eq_ignore_ascii_case("bytes") && is_range).then_some(Asked(first, last))
}

impl Asked {
    fn of(self, len: usize) -> Option<(usize, usize)> {
        let len = len as u128;
        let (first, last) = match self {
            Self(Some(first), last) => (first, last.unwrap_or(u128::MAX).min(len.checked_sub(1)?)),
            Self(None, last) => (len.saturating_sub(last?), len.checked_sub(1)?),
        };
        (first <= last && first < len).then_some((first as usize, last as usize))
    }
}
