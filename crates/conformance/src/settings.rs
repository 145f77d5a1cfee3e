//! Reads the command line.

use bytes::Bytes;
use http::{uri::PathAndQuery, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

pub(crate) const USAGE: &str = "\
usage: check-conditional [OPTIONS] URL

  -H 'NAME: VALUE'   add a header field to each request
  --http2            speak HTTP/2 from the first byte, without TLS
  --without NAME     leave out a check, or a group of them
  --expect NAME      a check, or a group, that is known to fail
  --strict           fail for a SHOULD, too
  --format FORMAT    text, json or junit
  -v                 show all checks in the text, with what was sent and seen
  --list             show the names of all checks, and what they claim
  -h, --help         show this text

Nothing on the server is changed unless one of these is given:

  --put CONTENT      a PUT to the URL that succeeds; with -H for its type
  --change COMMAND   a shell command that changes the content; run eight times at most
  --restore COMMAND  a shell command that brings older content back, with its date
  --query CONTENT    a QUERY to the URL that succeeds; with -H for its type
  --error-at PATH    where an error is answered

The exit status is 0 if no MUST failed (with --strict: and no SHOULD), 1 if one did, and
2 if nothing could be checked, or the report could not be written. Colours are used on
terminals, unless NO_COLOR is set.";

/// The settings from the command line.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) origin: Uri,
    pub(crate) path: Option<PathAndQuery>,
    pub(crate) fields: HeaderMap,
    pub(crate) is_http2: bool,
    pub(crate) without: Vec<String>,
    pub(crate) expected: Vec<String>,
    pub(crate) is_strict: bool,
    pub(crate) format: Format,
    pub(crate) is_verbose: bool,
    pub(crate) put: Option<String>,
    pub(crate) query: Option<String>,
    pub(crate) change: Option<String>,
    pub(crate) restore: Option<String>,
    pub(crate) error_at: Option<Uri>,
}

/// How the report is printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Format {
    #[default]
    Text,
    Json,
    JUnit,
}

impl Settings {
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut settings = Self::default();
        let mut arguments = arguments.into_iter();
        let mut url = None;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match &*argument {
                "-v" => settings.is_verbose = true,
                "--http2" => settings.is_http2 = true,
                "--strict" => settings.is_strict = true,
                "-H" => settings.add_field(&value()?)?,
                option if option.starts_with('-') => settings.set(option, &mut value)?,
                _ => drop(url.replace(argument)),
            }
        }
        let url: Uri =
            url.ok_or("no URL")?.parse().map_err(|error| format!("not a URL: {error}"))?;
        if url.scheme_str() != Some("http") {
            return Err("the URL must begin with http://; there is no TLS here".to_owned());
        }
        settings.path = url.path_and_query().cloned();
        settings.origin = url;
        Ok(settings)
    }

    fn add_field(&mut self, text: &str) -> Result<(), String> {
        let field = || {
            let (name, value) = text.split_once(':')?;
            let name: HeaderName = name.trim().parse().ok()?;
            let value: HeaderValue = value.trim().parse().ok()?;
            Some((name, value))
        };
        let (name, value) = field().ok_or_else(|| format!("no header field: {text}"))?;
        self.fields.append(name, value);
        Ok(())
    }

    /// Sets an option that has a value.
    fn set(
        &mut self,
        option: &str,
        value: &mut dyn FnMut() -> Result<String, String>,
    ) -> Result<(), String> {
        match option {
            "--without" => self.without.push(value()?),
            "--expect" => self.expected.push(value()?),
            "--put" => self.put = Some(value()?),
            "--query" => self.query = Some(value()?),
            "--change" => self.change = Some(value()?),
            "--restore" => self.restore = Some(value()?),
            "--error-at" => {
                let path = value()?.parse().map_err(|error| format!("not a path: {error}"))?;
                self.error_at = Some(path);
            }
            "--format" => {
                self.format = match &*value()? {
                    "text" => Format::Text,
                    "json" => Format::Json,
                    "junit" => Format::JUnit,
                    other => return Err(format!("no format {other}")),
                };
            }
            _ => return Err(format!("no option {option}")),
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &str {
        self.path.as_ref().map_or("/", PathAndQuery::as_str)
    }

    /// Makes a request to the path, with content.
    pub(crate) fn request(&self, method: Method, content: &str) -> Request<Bytes> {
        let mut request = Request::new(Bytes::from(content.to_owned()));
        *request.method_mut() = method;
        *request.uri_mut() = self.path().parse().unwrap_or_default();
        request
    }
}
