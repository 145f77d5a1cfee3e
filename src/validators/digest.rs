//! Makes the tag of content, which is the lower-case hex of its hash, in quotes.
//!
//! By default, that hex is the output of `sha256sum`, so anyone can check it. It is the
//! same on all replicas.
//!
//! Two representations of a resource must have different strong tags, even if their
//! bytes are equal. For example, an empty list may have the same bytes in two formats.
//! So the tag of a negotiated response also has `-` and eight hex digits of a hash of
//! its type, encoding and language. A response is negotiated if it has `Vary`,
//! `Content-Encoding` or `Content-Language`.

use http::{HeaderMap, HeaderValue};
use sha2::Digest as _;

use crate::{header_map::NEGOTIATED_FIELDS, rules::EntityTag};

/// A hash of content, from which strong tags are made.
///
/// Two contents of a resource with the same strong tag must have the same bytes, on all
/// servers, for as long as clients keep a copy (RFC 9110, section 8.8.1). So it must be
/// practically impossible to find two contents with the same hash. If others can
/// influence the content, use a cryptographic hash of 256 bits: with 128 bits, two such
/// contents can be found in about 2^64 steps. If all content is your own, a faster hash
/// of 128 bits is sufficient.
///
/// The hash of the same bytes must be the same on every replica and after each deploy.
/// So it must have no random seed, and must not depend on the version of a library.
///
/// [`Sha256`] is the default. With the feature `blake3`, `Blake3` is available, too.
///
/// `update` is called for each slice of the content, in order. The result must depend
/// only on the bytes, not on where the slices end. Each poll hashes at most 64 KiB, so
/// that other tasks can run in between.
///
/// # Examples
///
/// ```
/// use tower_conditional::{ConditionalLayer, Digest};
///
/// #[derive(Default)]
/// struct Blake2s(blake2::Blake2s256);
/// # mod blake2 {
/// #     #[derive(Default)] pub struct Blake2s256(sha2::Sha256);
/// #     impl Blake2s256 {
/// #         pub fn update(&mut self, c: &[u8]) {
/// #             sha2::Digest::update(&mut self.0, c)
/// #         }
/// #         pub fn finalize(self) -> [u8; 32] {
/// #             sha2::Digest::finalize(self.0).into()
/// #         }
/// #     }
/// # }
///
/// impl Digest for Blake2s {
///     type Output = [u8; 32];
///
///     fn update(&mut self, content: &[u8]) {
///         self.0.update(content);
///     }
///
///     fn finish(self) -> [u8; 32] {
///         self.0.finalize().into()
///     }
/// }
///
/// let layer = ConditionalLayer::new().digest::<Blake2s>();
/// # drop(layer);
/// ```
pub trait Digest: Default + Send + Sync + 'static {
    /// The bytes of the hash. All hashes of a `Digest` must have the same length.
    type Output: AsRef<[u8]>;

    /// The name of the hash in digest fields such as `Repr-Digest` (RFC 9530):
    /// `sha-256` or `sha-512`. Default: `None`.
    ///
    /// The name is the key in the [registry of hash algorithms for digest fields].
    /// [`repr_digest`](crate::ConditionalLayer::repr_digest) needs this name.
    ///
    /// [registry of hash algorithms for digest fields]: https://www.iana.org/assignments/http-digest-hash-alg
    const ALGORITHM_KEY: Option<&'static str> = None;

    /// Adds the next bytes of the content.
    fn update(&mut self, content: &[u8]);

    /// Returns the hash of all bytes that `update` got.
    fn finish(self) -> Self::Output;
}

/// SHA-256, the default [`Digest`].
#[derive(Clone, Debug, Default)]
pub struct Sha256(sha2::Sha256);

impl Digest for Sha256 {
    type Output = [u8; 32];

    const ALGORITHM_KEY: Option<&'static str> = Some("sha-256");

    fn update(&mut self, content: &[u8]) {
        self.0.update(content);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// BLAKE3, a cryptographic [`Digest`] that is faster than SHA-256 on large content.
///
/// It needs the feature `blake3`.
///
/// On a processor with SHA extensions and AVX2, content of 64 KiB and more took 0.4
/// times as long as with [`Sha256`], and content of 1 KiB took 1.7 times as long.
/// Other processors give other results. Each hash allocates 2 KiB. The tag is the
/// output of `b3sum`.
///
/// # Examples
///
/// ```
/// use tower_conditional::{Blake3, ConditionalLayer};
///
/// let layer = ConditionalLayer::new().digest::<Blake3>();
/// # drop(layer);
/// ```
#[cfg(feature = "blake3")]
#[cfg_attr(docsrs, doc(cfg(feature = "blake3")))]
#[derive(Clone, Debug, Default)]
pub struct Blake3 {
    /// Boxed, because the hasher is large, and the future of each request has room
    /// for a digest.
    hasher: Box<blake3::Hasher>,
}

#[cfg(feature = "blake3")]
impl Digest for Blake3 {
    type Output = [u8; 32];

    fn update(&mut self, content: &[u8]) {
        self.hasher.update(content);
    }

    fn finish(self) -> [u8; 32] {
        self.hasher.finalize().into()
    }
}

impl EntityTag {
    /// Makes the strong tag of `content`: the lower-case hex of its SHA-256.
    ///
    /// By default, [`ConditionalLayer`](crate::ConditionalLayer) generates the same
    /// tag, with one exception: for a response with `Vary`, `Content-Encoding` or
    /// `Content-Language`, it appends `-` and eight hex digits.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_conditional::EntityTag;
    ///
    /// let tag = EntityTag::of(b"hello\n");
    /// assert_eq!(
    ///     tag.opaque(),
    ///     b"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    /// );
    /// ```
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        let mut digest = Sha256::default();
        digest.update(content);
        plain_tag(&digest.finish())
    }
}

/// Makes the strong tag of content that was hashed by `digest`.
///
/// If `is_negotiated` is true, the tag also names the variant, by a hash of the type,
/// encoding and language in `headers`. Other variants may have the same bytes.
pub(crate) fn tag<D: Digest>(digest: D, is_negotiated: bool, headers: &HeaderMap) -> EntityTag {
    tag_of_hash::<D>(digest.finish().as_ref(), is_negotiated, headers)
}

/// Makes the strong tag of content with this SHA-256, for a response that was not
/// negotiated.
pub(crate) fn plain_tag(hash: &[u8; 32]) -> EntityTag {
    tag_of_hash::<Sha256>(hash, false, &HeaderMap::new())
}

/// Makes the strong tag of content with this hash. Otherwise like [`tag`].
pub(crate) fn tag_of_hash<D: Digest>(
    hash: &[u8],
    is_negotiated: bool,
    headers: &HeaderMap,
) -> EntityTag {
    let variant = is_negotiated.then(|| hash_of_variant::<D>(headers));
    tag_of_hashes(hash, variant.as_ref().map(AsRef::as_ref))
}

/// Makes the strong tag of content with this hash.
///
/// `variant` is what [`hash_of_variant`] returns, if the response was negotiated.
pub(crate) fn tag_of_hashes(hash: &[u8], variant: Option<&[u8]>) -> EntityTag {
    let variant = variant.map(|variant| variant.get(..VARIANT_BYTES).unwrap_or(variant));
    // With the exact capacity, the text becomes a field value without a copy.
    let suffix = variant.map_or(0, |variant| 1 + 2 * variant.len());
    let mut text = Vec::with_capacity(2 + 2 * hash.len() + suffix);
    text.push(b'"');
    push_hex(&mut text, hash);
    if let Some(variant) = variant {
        text.push(b'-');
        push_hex(&mut text, variant);
    }
    text.push(b'"');
    EntityTag::from_quoted(text)
}

/// Returns the hash of the fields that tell the variants of a resource apart.
pub(crate) fn hash_of_variant<D: Digest>(headers: &HeaderMap) -> D::Output {
    let mut variant = D::default();
    for name in &NEGOTIATED_FIELDS {
        variant.update(name.as_str().as_bytes());
        for line in headers.get_all(name) {
            // No field value contains `\0` or `\n`, so different fields give
            // different hashes.
            variant.update(b"\0");
            variant.update(line.as_bytes());
        }
        variant.update(b"\n");
    }
    variant.finish()
}

fn push_hex(text: &mut Vec<u8>, bytes: &[u8]) {
    let start = text.len();
    text.resize(start + bytes.len() * 2, 0);
    // Because there is no table and no branch, the compiler vectorises this loop.
    let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
    for (digits, byte) in
        text.get_mut(start..).unwrap_or_default().as_chunks_mut().0.iter_mut().zip(bytes)
    {
        *digits = [digit(byte >> 4), digit(byte & 0xF)];
    }
}

/// What the tags of a [`Digest`] look like, and its name in digest fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagFormat {
    /// The number of hex digits of a hash.
    pub(crate) digits: usize,
    /// See [`Digest::ALGORITHM_KEY`].
    pub(crate) algorithm_key: Option<&'static str>,
}

impl TagFormat {
    pub(crate) fn of<D: Digest>() -> Self {
        let digits = D::default().finish().as_ref().len() * 2;
        Self { digits, algorithm_key: D::ALGORITHM_KEY }
    }

    /// Returns true if the bytes between the quotes of a tag look like those of a tag
    /// that was generated with this `Digest`.
    pub(crate) fn looks_generated(self, opaque: &[u8]) -> bool {
        let is_hex =
            |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let Some((hash, variant)) = opaque.split_at_checked(self.digits) else { return false };
        is_hex(hash) && (variant.is_empty() || variant.strip_prefix(b"-").is_some_and(is_hex))
    }

    /// Returns the value of `Repr-Digest` for the content that `tag` was made of (RFC
    /// 9530, section 3).
    ///
    /// The caller must know that the layer generated the tag, because other tags may
    /// look the same.
    pub(crate) fn repr_digest(self, tag: &EntityTag) -> Option<HeaderValue> {
        let key = self.algorithm_key?;
        let hash = from_hex(tag.opaque().get(..self.digits)?)?;
        HeaderValue::try_from(format!("{key}=:{}:", base64(&hash))).ok()
    }
}

fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let half = |digit: u8| char::from(digit).to_digit(16).and_then(|half| u8::try_from(half).ok());
    let pairs = digits.as_chunks().0.iter();
    pairs.map(|[high, low]| Some(half(*high)? << 4 | half(*low)?)).collect()
}

/// Encodes bytes in base64, as in a structured field ([RFC 9651, section 4.1.8]).
///
/// Deliberately written here: only hashes are encoded, and no dependency of this crate
/// offers base64.
///
/// [RFC 9651, section 4.1.8]: https://www.rfc-editor.org/rfc/rfc9651.html#section-4.1.8
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|i| usize::from(chunk.get(i).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        let digits = [18, 12, 6, 0].iter().zip(0..);
        text.extend(digits.map(|(shift, i)| match DIGITS.get(bits >> shift & 63) {
            Some(&digit) if i <= chunk.len() => char::from(digit),
            _ => '=',
        }));
    }
    text
}

/// Returns the hash of empty content, which identifies the hash function.
#[cfg(feature = "shared-tags")]
pub(crate) fn hash_of_nothing<D: Digest>() -> std::sync::Arc<[u8]> {
    D::default().finish().as_ref().into()
}

const VARIANT_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn tag_of(lines: &[(&'static str, &'static str)]) -> EntityTag {
        let lines = lines
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let is_negotiated = lines.clone().any(|(name, _)| name != "content-type");
        tag(Sha256::default(), is_negotiated, &lines.collect())
    }

    #[test]
    fn equal_bytes_of_negotiated_responses_get_different_tags() {
        let plain = tag_of(&[]);
        let csv = tag_of(&[("content-type", "text/csv"), ("vary", "accept")]);
        let json = tag_of(&[("content-type", "application/json"), ("vary", "accept")]);
        let gzip = tag_of(&[("content-type", "text/csv"), ("content-encoding", "gzip")]);
        let german = tag_of(&[("content-type", "text/csv"), ("content-language", "de")]);
        let all = [&plain, &csv, &json, &gzip, &german];
        for (i, first) in all.iter().enumerate() {
            assert!(TagFormat::of::<Sha256>().looks_generated(first.opaque()), "{first}");
            assert!(!first.is_weak());
            for second in &all[i + 1..] {
                assert!(!first.weak_eq(second), "{first} {second}");
            }
        }
        assert_eq!(
            plain,
            tag_of(&[("content-type", "text/csv")]),
            "nothing shows that this was negotiated"
        );
        // If these tags change, the tags of all users change. The changelog of the
        // release must then say so.
        assert_eq!(
            plain.opaque(),
            b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            csv.opaque(),
            b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855-b5683dd1"
        );
    }

    #[cfg(feature = "blake3")]
    #[test]
    fn blake3_is_what_b3sum_prints_wherever_content_is_cut() {
        for (content, expected) in [
            (&b""[..], "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
            (b"abc", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        ] {
            for cut in 0..=content.len() {
                let (first, second) = content.split_at(cut);
                let mut digest = Blake3::default();
                digest.update(first);
                digest.update(second);
                assert_eq!(tag(digest, false, &HeaderMap::new()).opaque(), expected.as_bytes());
            }
        }
        assert_eq!(TagFormat::of::<Blake3>().digits, 64);
        let tag = tag(Blake3::default(), false, &HeaderMap::new());
        assert_eq!(TagFormat::of::<Blake3>().repr_digest(&tag), None, "it is not registered");
    }

    #[test]
    fn base64_is_that_of_rfc_4648() {
        // The test vectors of RFC 4648, section 10, and the last digits of
        // the alphabet.
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"fooba", "Zm9vYmE="),
            (b"foobar", "Zm9vYmFy"),
            (b"\xfb\xff\xbf", "+/+/"),
        ] {
            assert_eq!(base64(bytes), expected);
        }
    }

    #[test]
    fn a_repr_digest_is_the_hash_in_the_tag() {
        // `printf '{"hello": "world"}\n' | openssl dgst -sha256 -binary | base64`
        let expected = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        let format = TagFormat::of::<Sha256>();
        let hashed = |is_negotiated| {
            let mut digest = Sha256::default();
            digest.update(b"{\"hello\": \"world\"}\n");
            tag(digest, is_negotiated, &HeaderMap::new())
        };
        assert_eq!(format.repr_digest(&hashed(false)).unwrap(), expected);
        assert_eq!(format.repr_digest(&hashed(true)).unwrap(), expected);
        let weak = hashed(true).into_weak();
        assert_eq!(format.repr_digest(&weak).unwrap(), expected);
        for tag in ["\"\"", "\"v1\"", &format!("\"{}\"", "g".repeat(64))] {
            assert_eq!(format.repr_digest(&tag.parse().unwrap()), None, "{tag}");
        }
    }

    #[test]
    fn the_form_of_a_made_tag_is_told_from_others() {
        let hash = "0123456789abcdef".repeat(4);
        for (opaque, expected) in [
            (hash.clone(), true),
            (format!("{hash}-0123abcd"), true),
            (hash.to_uppercase(), false),
            (format!("{hash}-gzip"), false),
            (format!("{hash}0123abcd"), false),
            ("6b0315fb.0d89f31a-c8".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(
                TagFormat::of::<Sha256>().looks_generated(opaque.as_bytes()),
                expected,
                "{opaque}"
            );
        }
    }
}
