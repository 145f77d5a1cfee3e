//! Lists of SHA-256 hashes, as `sha256sum` writes them.

use super::file_name;

/// One line of a list: a file and its hash.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Checksum {
    /// The path of the file below the root, in the normal form of [`file_name()`].
    pub(crate) name: String,
    pub(crate) hash: [u8; 32],
    /// The length of the file in bytes, if the line has it.
    pub(crate) length: Option<u64>,
}

/// Reads the lines of a list. Each result has the number of its line. An error
/// describes what is wrong with the line.
///
/// A line is `<hash>  <name>`, or `<hash> *<name>` for binary mode. The length of the
/// file in bytes may be between hash and name: `<hash> <length>  <name>`. With a `\`
/// before the hash, the name contains escapes. Empty lines, lines that start with `#`,
/// and a byte order mark are ignored.
pub(crate) fn checksums(
    list: &[u8],
) -> impl Iterator<Item = (usize, Result<Checksum, &'static str>)> + '_ {
    let list = list.strip_prefix(BYTE_ORDER_MARK).unwrap_or(list);
    let lines = list.split(|&byte| byte == b'\n').zip(1..);
    lines.filter_map(|(line, number)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let says_something = !line.is_empty() && !line.starts_with(b"#");
        says_something.then(|| (number, checksum(line)))
    })
}

fn checksum(line: &[u8]) -> Result<Checksum, &'static str> {
    const FORM: &str = "not a line of `sha256sum`: `<hash>  <name>` or `<hash> <length>  <name>`";
    let (is_escaped, line) = match line.strip_prefix(b"\\") {
        Some(line) => (true, line),
        None => (false, line),
    };
    let (digits, rest) = line.split_first_chunk::<64>().ok_or(FORM)?;
    let hash = hash(digits).ok_or(FORM)?;
    let mut rest = rest.strip_prefix(b" ").ok_or(FORM)?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = None;
    if let Some((digits, [b' ', name @ ..])) = rest.split_at_checked(digits).filter(|_| digits > 0)
    {
        let digits = std::str::from_utf8(digits).ok();
        length = Some(digits.and_then(|digits| digits.parse().ok()).ok_or("no such length")?);
        rest = name;
    }
    let (b' ' | b'*', name) = rest.split_first().ok_or(FORM)? else { return Err(FORM) };
    let name = std::str::from_utf8(name).map_err(|_| "the name is not UTF-8")?;
    let name = if is_escaped { unescaped(name).ok_or("an unknown escape")? } else { name.into() };
    Ok(Checksum { name: file_name(&name)?, hash, length })
}

fn hash(digits: &[u8; 64]) -> Option<[u8; 32]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut hash = [0; 32];
    for (byte, [high, low]) in hash.iter_mut().zip(digits.as_chunks().0) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

/// Resolves the escapes of a name: `\\`, `\n` and `\r`.
fn unescaped(name: &str) -> Option<String> {
    let mut characters = name.chars();
    let mut unescaped = String::with_capacity(name.len());
    while let Some(character) = characters.next() {
        unescaped.push(match character {
            '\\' => match characters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            _ => character,
        });
    }
    Some(unescaped)
}

/// Some programs on Windows start a text with this mark.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";

    fn only(line: &str) -> Result<(String, Option<u64>), &'static str> {
        let list = line.replace("HASH", HASH);
        let mut lines = checksums(list.as_bytes());
        let (number, line) = lines.next().unwrap();
        assert_eq!((number, lines.next()), (1, None));
        line.map(|line| {
            assert_eq!(line.hash[..2], [0xca, 0x97]);
            (line.name, line.length)
        })
    }

    #[test]
    fn lines_are_read_as_sha256sum_writes_them() {
        for (line, name, length) in [
            ("HASH  a b", "a b", None),
            ("HASH *a", "a", None),
            ("HASH  *a", "*a", None),
            ("HASH   a", " a", None),
            ("HASH  ./sub/x", "sub/x", None),
            ("HASH  a\r", "a", None),
            ("\u{feff}HASH  a\r", "a", None),
            ("HASH  \u{feff}a", "\u{feff}a", None),
            ("HASH  12 a", "12 a", None),
            ("HASH 12  a", "a", Some(12)),
            ("HASH 0 *a", "a", Some(0)),
            ("HASH 12  34  a", "34  a", Some(12)),
            ("\\HASH  new\\nline", "new\nline", None),
            ("\\HASH  cr\\r", "cr\r", None),
            ("HASH  a\\n", "a\\n", None),
        ] {
            assert_eq!(only(line), Ok((name.to_owned(), length)), "{line}");
        }
        let upper = format!("{}  a", HASH.to_uppercase());
        assert_eq!(only(&upper), Ok(("a".to_owned(), None)));
        #[cfg(not(windows))]
        assert_eq!(only("\\HASH  back\\\\slash"), Ok(("back\\slash".to_owned(), None)));
    }

    #[test]
    fn what_is_no_line_is_an_error() {
        for line in [
            "HASH",
            "HASH ",
            "HASH  ",
            "HASH a",
            "HASH\ta",
            "HASH 12 a",
            "HASH 12",
            "HASH 99999999999999999999  a",
            "HASH  ../a",
            "HASH  /a",
            "HASH  a/../b",
            "HASH  a\0b",
            "\\HASH  a\\x",
            "\\HASH  a\\",
            "SHA256 (a) = HASH",
            "HASH0  a",
            " HASH  a",
            "zz978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a",
            "d41d8cd98f00b204e9800998ecf8427e  md5",
        ] {
            assert!(only(line).is_err(), "{line}");
        }
        let mut bytes = format!("{HASH}  ").into_bytes();
        bytes.push(0xFF);
        assert_eq!(checksums(&bytes).next(), Some((1, Err("the name is not UTF-8"))));
    }

    #[test]
    fn lines_are_numbered_with_those_that_say_nothing() {
        let list = format!("# made by hand\n\n{HASH}  a\r\n\nwrong\n{HASH}  b");
        let numbers: Vec<_> =
            checksums(list.as_bytes()).map(|(number, line)| (number, line.is_ok())).collect();
        assert_eq!(numbers, [(3, true), (5, false), (6, true)]);
        assert_eq!(checksums(b"").count(), 0);
    }
}
