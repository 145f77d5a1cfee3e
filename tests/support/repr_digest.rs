//! Reads `Repr-Digest`.

use tower_conditional::EntityTag;

/// Returns the SHA-256 in a value of `Repr-Digest`, in hex as `sha256sum` prints it.
pub(crate) fn sha256_hex(value: &str) -> String {
    let text = value.strip_prefix("sha-256=:").and_then(|text| text.strip_suffix("=:")).unwrap();
    let bits: String =
        text.chars().map(|digit| format!("{:06b}", DIGITS.find(digit).unwrap())).collect();
    assert_eq!((text.len(), &bits[256..]), (43, "00"), "{value}");
    let half = |half: usize| u8::from_str_radix(&bits[4 * half..4 * half + 4], 2).unwrap();
    (0..64).map(|place| format!("{:x}", half(place))).collect()
}

/// Makes the value of `Repr-Digest` for content.
pub(crate) fn repr_digest(content: &[u8]) -> String {
    let tag = EntityTag::of(content).to_string();
    let bits: String = tag
        .trim_matches('"')
        .chars()
        .map(|digit| format!("{:04b}", digit.to_digit(16).unwrap()))
        .collect();
    let bits = bits + "00";
    let digit = |place: usize| {
        let place = usize::from_str_radix(&bits[place..place + 6], 2).unwrap();
        &DIGITS[place..=place]
    };
    let digits: String = (0..258).step_by(6).map(digit).collect();
    format!("sha-256=:{digits}=:")
}

/// Returns true if a value of `Repr-Digest` is that of this content.
pub(crate) fn is_digest_of(value: &str, content: &[u8]) -> bool {
    sha256_hex(value).as_bytes() == EntityTag::of(content).opaque()
}

const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
