//! Lists of tokens ([RFC 9110, section
//! 5.6.1](https://www.rfc-editor.org/rfc/rfc9110.html#section-5.6.1)): no
//! member contains a comma. Tags may contain commas: for lists of tags
//! see [`entity_tag_list`](super::entity_tag_list).

use http::HeaderValue;

/// Returns the members of a line. Empty members are left out.
pub(crate) fn members(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let members = line.as_bytes().split(|&byte| byte == b',').map(trim_ows);
    members.filter(|member| !member.is_empty())
}

/// Returns `value` without the optional white space around it (section 5.6.3).
pub(crate) fn trim_ows(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
