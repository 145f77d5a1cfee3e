//! The order of evaluation (RFC 9110, 13.2.2) in every combination, beside a naive
//! reading of the RFC.

use std::sync::Arc;

use http::{header, HeaderMap, HeaderValue};
use tower_conditional::{Decision, EntityTag, LastModified, Representation, Validators};

use self::oracle::{oracle, representations, DATE_FIELDS, TAG_FIELDS};
use crate::support::{
    handler::{self, day as date, known},
    harness::{reply, request},
};

#[path = "../../src/rules/precondition_fields/oracle.rs"]
mod oracle;

#[test]
fn precedence_before_the_handler_is_that_of_the_oracle_for_every_combination() {
    let methods =
        ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"];
    let (mut cases, mut ran) = (0, 0);
    let few = |fields: [Option<&'static [&'static str]>; 14]| {
        fields.into_iter().step_by(3).chain([fields[1]])
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for current in representations() {
        let layer = known(current.clone()).query(true);
        for if_match in few(TAG_FIELDS) {
            for if_none_match in few(TAG_FIELDS) {
                for (if_modified_since, if_unmodified_since) in
                    DATE_FIELDS.into_iter().flat_map(|one| DATE_FIELDS.map(|two| (one, two)))
                {
                    let mut headers = HeaderMap::new();
                    for (name, values) in
                        [(header::IF_MATCH, if_match), (header::IF_NONE_MATCH, if_none_match)]
                    {
                        for value in values.into_iter().flatten() {
                            headers.append(&name, HeaderValue::from_static(value));
                        }
                    }
                    for (name, days) in [
                        (header::IF_MODIFIED_SINCE, if_modified_since),
                        (header::IF_UNMODIFIED_SINCE, if_unmodified_since),
                    ] {
                        for &day in days.into_iter().flatten() {
                            headers.append(&name, HeaderValue::from(date(day)));
                        }
                    }
                    for method in methods {
                        let expected = oracle(
                            method,
                            &current,
                            if_match,
                            if_none_match,
                            if_modified_since,
                            if_unmodified_since,
                        );
                        let mut request = request(method, "/", &[]);
                        *request.headers_mut() = headers.clone();
                        let seen = runtime.block_on(handler::ask(
                            &layer,
                            request,
                            Arc::new(|_| reply(200, &[], "content")),
                        ));
                        let status = match expected {
                            Decision::NotModified => 304,
                            Decision::PreconditionFailed => 412,
                            _ => 200,
                        };
                        assert_eq!(seen.status(), status, "{method} {current:?} {headers:?}");
                        assert_eq!(seen.ran(), status == 200, "{method} {current:?} {headers:?}");
                        assert_eq!(
                            seen.response.body(),
                            if status == 200 { "content" } else { "" }
                        );
                        (cases, ran) = (cases + 1, ran + usize::from(seen.ran()));
                    }
                }
            }
        }
    }
    assert_eq!(cases, 6 * 6 * 5 * 5 * 10 * 11);
    assert!(ran > cases / 4 && ran < cases * 3 / 4, "{ran} of {cases} ran");
}
