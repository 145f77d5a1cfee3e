//! Checks whether scripts of other origins can see the tag.

use http::{
    header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ORIGIN},
    HeaderValue, StatusCode,
};

use crate::{
    answer::Answer,
    baseline::Baseline,
    fields::members,
    report::Severity::Advice,
    rule::Rule,
    step::{anything, moot, want, Expect, Fault, Step},
};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "cors/exposes-etag",
        section: "8.8.3",
        severity: Advice,
        claim: "Scripts of other origins that may read the content may read the ETag, too.",
        hint: "Send `Access-Control-Expose-Headers: ETag` (CORS, in the Fetch standard): without \
               it, a script has nothing to put in If-Match. tower-http: \
               `CorsLayer::expose_headers`.",
        needs: &["validator/etag"],
        steps: |baseline| {
            baseline.tag()?;
            Ok(vec![asked(exposes_tag)])
        },
    },
    Rule {
        name: "cors/304",
        section: "15.4.5",
        severity: Advice,
        claim: "A 304 allows the origins that the 200 allows.",
        hint: "Keep the fields of CORS on a 304, or let the layer that adds them stand outside: \
               browsers check them on each response.",
        needs: &["validator/stable", "304/nothing-lost"],
        steps: |baseline| {
            let (name, value) = baseline.revalidation()?;
            Ok(vec![asked(anything), asked(allows_the_same).with(name, value)])
        },
    },
];

fn asked(expect: Expect) -> Step {
    Step::get(expect).with(ORIGIN, HeaderValue::from_static("https://example.com"))
}

fn exposes_tag(_: &Baseline, _: &[Answer], seen: &Answer) -> Result<(), Fault> {
    if !seen.has(ACCESS_CONTROL_ALLOW_ORIGIN) {
        return moot("no other origin may read it");
    }
    let mut exposed = members(seen.headers(), ACCESS_CONTROL_EXPOSE_HEADERS);
    let is_exposed = exposed.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"etag"));
    want(is_exposed, "Access-Control-Expose-Headers with ETag")
}

fn allows_the_same(_: &Baseline, before: &[Answer], seen: &Answer) -> Result<(), Fault> {
    let allowed = |answer: &Answer| answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).cloned();
    let of_whole = before.last().and_then(allowed);
    if of_whole.is_none() || seen.status() != StatusCode::NOT_MODIFIED {
        return moot("no other origin may read it");
    }
    want(allowed(seen) == of_whole, "the Access-Control-Allow-Origin of the 200")
}
