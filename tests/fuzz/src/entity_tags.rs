//! Lists of entity tags: what matches is what a naive reader finds.
//!
//! The input is the lines of one field, between line feeds.

use http::{
    header::{HeaderName, IF_MATCH, IF_NONE_MATCH},
    HeaderMap, HeaderValue, Method,
};
use tower_conditional::{Decision, EntityTag, Preconditions, Representation, Validators};

pub fn holds(input: &[u8]) {
    let lines: Vec<_> =
        input.split(|&byte| byte == b'\n').map(|line| &line[..line.len().min(200)]).collect();
    let lines: Vec<_> =
        lines.into_iter().filter_map(|line| HeaderValue::from_bytes(line).ok()).take(4).collect();
    for line in &lines {
        whole_values_are_read(line);
    }
    let members: Vec<_> = lines.iter().flat_map(|line| members(line.as_bytes())).collect();
    let is_any = matches!(&lines[..], [line] if trim(line.as_bytes()) == b"*");
    let headers = |name: HeaderName| -> HeaderMap {
        lines.iter().map(|line| (HeaderName::clone(&name), line.clone())).collect()
    };
    let (if_match, if_none_match) = (headers(IF_MATCH), headers(IF_NONE_MATCH));
    let decide = |method: &Method, headers: &HeaderMap, current: &Representation| {
        Preconditions::new(method, headers).evaluate(current)
    };
    let is_present = !lines.is_empty();
    let all_are_tags = !members.is_empty() && members.iter().all(Option::is_some);

    let mut candidates: Vec<_> = members.iter().flatten().cloned().collect();
    candidates.extend(candidates.clone().into_iter().map(|(weak, opaque)| (!weak, opaque)));
    candidates.extend(lines.iter().flat_map(|line| near(line.as_bytes())));
    candidates.push((false, b"absent".to_vec()));
    for (weak, opaque) in candidates {
        let tag = if weak { EntityTag::weak(&opaque) } else { EntityTag::strong(&opaque) }.unwrap();
        let current = Representation::from(Validators::from(tag));
        let strongly =
            members.iter().flatten().any(|member| !weak && *member == (false, opaque.clone()));
        let weakly = members.iter().flatten().any(|(_, member)| *member == opaque);
        let shown = opaque.escape_ascii();

        let expected = if is_present && !is_any && !strongly {
            Decision::PreconditionFailed
        } else {
            Decision::Proceed
        };
        for method in [Method::GET, Method::PUT] {
            assert_eq!(
                decide(&method, &if_match, &current),
                expected,
                "If-Match, {method}, {shown} {weak}"
            );
        }
        let is_match = is_present && (is_any || weakly);
        let expected = if is_match { Decision::NotModified } else { Decision::Proceed };
        assert_eq!(
            decide(&Method::GET, &if_none_match, &current),
            expected,
            "If-None-Match, {shown}"
        );
        let fails = is_match || is_present && !all_are_tags;
        let expected = if fails { Decision::PreconditionFailed } else { Decision::Proceed };
        assert_eq!(
            decide(&Method::PUT, &if_none_match, &current),
            expected,
            "If-None-Match to write, {shown}"
        );
    }
}

/// A value is a tag if its grammar holds, and is written as it was read.
fn whole_values_are_read(line: &HeaderValue) {
    let text = trim(line.as_bytes());
    let read = EntityTag::try_from(line);
    assert_eq!(read.is_ok(), is_tag(text), "{line:?}");
    let Ok(tag) = read else { return };
    assert_eq!((tag.as_bytes(), tag.is_weak()), (text, text.starts_with(b"W/")));
    let again =
        if tag.is_weak() { EntityTag::weak(tag.opaque()) } else { EntityTag::strong(tag.opaque()) };
    assert_eq!(again.as_ref(), Ok(&tag));
    assert_eq!(EntityTag::try_from(&HeaderValue::from(&tag)), Ok(tag.clone()));
    assert!(tag.weak_eq(&tag.clone().into_weak()) && tag.strong_eq(&tag) != tag.is_weak());
    if let Ok(text) = std::str::from_utf8(text) {
        assert_eq!(text.parse(), Ok(tag));
    }
}

type Member = (bool, Vec<u8>);

/// Reads a line naively: at the start of each member, every end is tried.
fn members(line: &[u8]) -> Vec<Option<Member>> {
    let mut members = Vec::new();
    let mut at = 0;
    while at < line.len() {
        if b" \t,".contains(&line[at]) {
            at += 1;
            continue;
        }
        let ends_member = |rest: &[u8]| matches!(trim(rest), [] | [b',', ..]);
        match (at + 1..=line.len()).find(|&end| is_tag(&line[at..end]) && ends_member(&line[end..]))
        {
            Some(end) => {
                let weak = line[at] == b'W';
                members.push(Some((weak, line[at + 1 + 2 * usize::from(weak)..end - 1].to_vec())));
                at = end;
            }
            None => {
                members.push(None);
                at += line[at..].iter().position(|&byte| byte == b',').unwrap_or(line.len() - at);
            }
        }
    }
    members
}

/// Returns tags that a careless reader might find: whatever stands between two quotes
/// or commas.
fn near(line: &[u8]) -> Vec<Member> {
    let pieces =
        line.split(|byte| b"\",".contains(byte)).map(trim).filter(|piece| !piece.is_empty());
    pieces
        .filter(|piece| piece.iter().copied().all(is_etagc))
        .map(|piece| (false, piece.to_vec()))
        .collect()
}

fn is_tag(text: &[u8]) -> bool {
    let quoted = text.strip_prefix(b"W/").unwrap_or(text);
    let len = quoted.len();
    len > 1
        && quoted[0] == b'"'
        && quoted[len - 1] == b'"'
        && quoted[1..len - 1].iter().copied().all(is_etagc)
}

fn is_etagc(byte: u8) -> bool {
    byte > 0x20 && byte != b'"' && byte != 0x7F
}

fn trim(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !b" \t".contains(byte);
    let start = text.iter().position(is_text).unwrap_or(text.len());
    let end = text.iter().rposition(is_text).map_or(start, |last| last + 1);
    &text[start..end]
}
