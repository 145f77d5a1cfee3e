//! Percent escapes of URIs ([RFC 3986, section
//! 2.1](https://www.rfc-editor.org/rfc/rfc3986.html#section-2.1)).

/// Decodes percent escapes. Invalid escapes are left unchanged.
pub(crate) fn percent_decoded(path: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    let mut path = path;
    let mut ahead = [None, None];
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    std::iter::from_fn(move || {
        let [first, second] = &mut ahead;
        let byte = match first.take() {
            Some(byte) => {
                *first = second.take();
                byte
            }
            None => path.next()?,
        };
        if byte != b'%' {
            return Some(byte);
        }
        *first = first.take().or_else(|| path.next());
        if first.is_some() && second.is_none() {
            *second = path.next();
        }
        match (first.and_then(digit), second.and_then(digit)) {
            (Some(high), Some(low)) => {
                (*first, *second) = (None, None);
                Some(high << 4 | low)
            }
            _ => Some(byte),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_what_is_none_is_kept() {
        for (path, expected) in [
            ("/%41%42c", "/ABc"),
            ("%%41", "%A"),
            ("%4%41", "%4A"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%", "%zz%"),
            ("%%%4142", "%%A42"),
        ] {
            let seen: Vec<_> = percent_decoded(path.bytes()).collect();
            assert_eq!(seen, expected.as_bytes(), "{path}");
        }
    }
}
