//! Checks whether digests are correct (RFC 9530).

use http::{
    header::{ACCEPT_ENCODING, RANGE},
    HeaderName, HeaderValue, Method, StatusCode,
};
use sha2::{Digest, Sha256};

use crate::{
    answer::Answer,
    baseline::Baseline,
    fields::members,
    report::Severity::Must,
    rule::Rule,
    step::{anything, moot, want, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "digest/repr",
        section: "RFC 9530, 3",
        severity: Must,
        claim: "`Repr-Digest` has the SHA-256 of the content, if it has one.",
        hint: "Hash what a 200 brings, and write the hash in base64 between colons.",
        needs: &["answer/get"],
        steps: |_| Ok(vec![get(has_repr_digest)]),
    },
    Rule {
        name: "digest/encoded",
        section: "RFC 9530, 3",
        severity: Must,
        claim: "`Repr-Digest` of encoded content is that of the encoded bytes.",
        hint: "A coding belongs to the representation: hash behind the compression, or take the \
               field off there.",
        needs: &["digest/repr", "encoding/tags"],
        steps: |baseline| {
            let (encoding, _) = baseline.encoded()?;
            Ok(vec![get(has_repr_digest).with(ACCEPT_ENCODING, encoding.clone())])
        },
    },
    Rule {
        name: "digest/part",
        section: "RFC 9530, 3",
        severity: Must,
        claim: "`Repr-Digest` of a part is that of the whole.",
        hint: "Keep the field of the 200 on a 206. The digest of the part is `Content-Digest`.",
        needs: &["digest/repr", "validator/one-content"],
        steps: |_| {
            let part = get(has_digest_of_whole).with(RANGE, HeaderValue::from_static("bytes=0-0"));
            Ok(vec![get(anything), part])
        },
    },
    Rule {
        name: "digest/head",
        section: "RFC 9530, 3",
        severity: Must,
        claim: "`Repr-Digest` of HEAD is that of GET.",
        hint: "Do not hash the empty content of HEAD.",
        needs: &["digest/repr", "head/answers"],
        steps: |_| {
            let head = Step { method: Method::HEAD, ..get(has_digest_of_whole) };
            Ok(vec![get(anything), head])
        },
    },
    Rule {
        name: "digest/content",
        section: "RFC 9530, 2",
        severity: Must,
        claim: "`Content-Digest` has the SHA-256 of the bytes of the message, of a part, too.",
        hint: "Take the field off where the bytes become others: a part, an encoding.",
        needs: &["answer/get"],
        steps: |_| {
            let part = get(has_content_digest).with(RANGE, HeaderValue::from_static("bytes=0-0"));
            Ok(vec![get(has_content_digest), part])
        },
    },
];

const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// Requests the content and both digests.
fn get(expect: Expect) -> Step {
    let wanted = HeaderValue::from_static("sha-256=10");
    Step::get(expect)
        .with(HeaderName::from_static("want-repr-digest"), wanted.clone())
        .with(HeaderName::from_static("want-content-digest"), wanted)
}

fn has_repr_digest(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if seen.status() != StatusCode::OK {
        return moot("the answer is no 200");
    }
    is_digest_of_content(seen, &REPR_DIGEST)
}

fn has_content_digest(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    is_digest_of_content(seen, &CONTENT_DIGEST)
}

fn is_digest_of_content(seen: &Answer, name: &HeaderName) -> Result<(), Fault> {
    let (Some(said), Some(bytes)) = (sha256(seen, name), seen.bytes()) else {
        return moot(format!("there is no {name} with SHA-256"));
    };
    let wanted = format!("sha-256=:{}:", base64(&Sha256::digest(bytes)));
    want(said == wanted.as_bytes(), &format!("{name}: {wanted}"))
}

fn has_digest_of_whole(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let digest = |answer| sha256(answer, &REPR_DIGEST);
    let (Some(whole), Some(said)) = (before.last().and_then(digest), digest(seen)) else {
        return moot("there is no repr-digest with SHA-256");
    };
    want(said == whole, "the Repr-Digest of the whole")
}

/// Returns the SHA-256 member of a digest field.
fn sha256<'a>(answer: &'a Answer, name: &HeaderName) -> Option<&'a [u8]> {
    members(answer.headers(), name).find(|member| member.starts_with(b"sha-256="))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| char::from(DIGITS.get(bits as usize % 64).copied().unwrap_or(b'='));
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digits = [18, 12, 6, 0].map(|shift| digit(bits >> shift));
        text.extend(digits.into_iter().take(group.len() + 1));
        text.extend(std::iter::repeat_n('=', 3 - group.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let encoded = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(texts.map(|text| base64(text.as_bytes())), encoded);
    }
}
