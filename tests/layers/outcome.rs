//! `Outcome`: what both layers report.

use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_conditional::{ConditionalLayer, Outcome, Reason, Representation};

use crate::support::{
    guarded::guarded,
    handler::{self, exists, known},
    harness::{reply, run, IM, INM},
    note::{note, put, service},
};

#[test]
fn outcome_is_reported_before_the_handler() {
    let layer = |current| known(current).report_outcome(true);
    let v1 = exists("\"v1\"");
    for (current, method, lines, outcome) in [
        (&v1, "GET", &[][..], Outcome::Proceeded),
        (&v1, "GET", &[(INM, "\"v1\"")], Outcome::NotModified),
        (&v1, "PUT", &[(INM, "\"v1\"")], Outcome::PreconditionFailed),
        (&v1, "OPTIONS", &[], Outcome::LeftAlone(Reason::Method)),
        (&Representation::Unknown, "GET", &[], Outcome::LeftAlone(Reason::UnknownState)),
    ] {
        assert_eq!(
            handler::send(layer(current.clone()), method, lines).outcome,
            Some(outcome),
            "{method} {lines:?}"
        );
    }
    let required = layer(v1.clone()).require_preconditions(|_| true);
    assert_eq!(handler::send(&required, "PUT", &[]).outcome, Some(Outcome::PreconditionRequired));
    assert_eq!(handler::send(known(v1), "GET", &[]).outcome, None);
    // What an inner layer did says more.
    let stack = ServiceBuilder::new().layer(layer(Representation::Unknown));
    let stack = stack.layer(ConditionalLayer::new().report_outcome(true)).into_inner();
    assert_eq!(handler::send(stack, "GET", &[]).outcome, Some(Outcome::Tagged));
}

/// What is reported of a refused write is what was done with it, and not with the
/// question.
#[test]
fn outcome_of_a_refused_write_is_not_that_of_the_probe() {
    use tower_conditional::Outcome;
    let inner = ConditionalLayer::new()
        .report_outcome(true)
        .layer(service(&note("x"), |_| reply(500, &[], "broken")));
    let service = guarded(inner).report_outcome(true);
    let seen = run(service.oneshot(put(&[(IM, "*")], "new"))).unwrap();
    assert_eq!(seen.extensions().get(), Some(&Outcome::StateUnavailable));
}
