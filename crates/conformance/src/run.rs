//! Runs the checks, one after the other.

use std::{collections::HashMap, mem, time::Duration};

use bytes::Bytes;
use http::{
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
    response, HeaderMap, HeaderValue, Request, StatusCode, Uri,
};

use crate::{
    answer::Answer,
    baseline::{is_encoded, no_encoding, Baseline, Why},
    checks,
    content::Content,
    report::{Finding, Report, Severity, Verdict},
    rule::Rule,
    step::{anything, show_answer, show_request, Alteration, Fault, Step},
    target::{Change, ReadLimits, Target},
};

/// The service to check, and the settings.
pub(crate) struct Session<'a> {
    pub(crate) target: Box<dyn Target + 'a>,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) left_out: Vec<String>,
    pub(crate) encodings: Vec<HeaderValue>,
    pub(crate) error_uri: Uri,
    /// The names of checks that are expected to fail, each with the reason.
    pub(crate) expected: Vec<(String, String)>,
    pub(crate) query: Option<Request<Bytes>>,
    pub(crate) write: Option<Request<Bytes>>,
    pub(crate) change: Option<Box<dyn Change + 'a>>,
    pub(crate) restore: Option<Box<dyn Change + 'a>>,
    pub(crate) custom: Vec<CustomCheck<'a>>,
    pub(crate) timeout: Duration,
    pub(crate) may_be_endless: bool,
}

/// A check that the user defined.
pub(crate) struct CustomCheck<'a> {
    pub(crate) name: String,
    pub(crate) request: Request<Bytes>,
    pub(crate) holds: Box<dyn Fn(&response::Parts) -> bool + 'a>,
}

impl Session<'_> {
    /// Runs all checks that are not excluded.
    pub(crate) async fn run(mut self) -> Report {
        let mut findings = Vec::new();
        // The checks that failed, or that were not made because another check failed. If a check
        // needs one of them, it is not applicable, and the value is the reason.
        let mut in_vain: HashMap<&str, String> = HashMap::new();
        let mut baseline = self.scout().await;
        let left_out = mem::take(&mut self.left_out);
        for rule in checks::rules().filter(|rule| !left_out.iter().any(|name| rule.is_named(name)))
        {
            let mut log = Vec::new();
            let unmet = rule.needs.iter().find_map(|need| in_vain.get(need).cloned());
            let verdict = match (&mut baseline, unmet) {
                (None, _) => self.check_silence(rule, &mut log).await,
                (Some(baseline), _) if lacks(baseline, rule).is_some() => {
                    not_applicable(lacks(baseline, rule).unwrap_or_default())
                }
                (Some(_), Some(why)) => {
                    in_vain.insert(rule.name, why.clone());
                    not_applicable(why)
                }
                (Some(baseline), None) => {
                    if rule.alters() {
                        self.look_again(baseline).await;
                    }
                    if rule.is_named("write") {
                        baseline.look_for_write();
                    }
                    self.check(rule, baseline, &mut log).await
                }
            };
            if let Verdict::Failed(_) = verdict {
                in_vain.insert(rule.name, format!("`{}` failed", rule.name));
            }
            let verdict = self.expect(rule, verdict);
            let Rule { name, severity, claim, hint, .. } = *rule;
            findings.push(Finding {
                name: name.into(),
                clause: rule.clause(),
                severity,
                claim,
                hint,
                log,
                verdict,
            });
        }
        for custom in mem::take(&mut self.custom) {
            findings.push(self.check_custom(custom).await);
        }
        Report { subject: format!("GET {}", self.uri), findings }
    }

    /// Sends plain requests to get the baseline. `None` if there is no answer.
    async fn scout(&mut self) -> Option<Baseline> {
        let plain = self.exchange(&Step::get(anything), &mut Vec::new()).await.ok()?;
        self.may_be_endless = plain.may_be_endless();
        let encoded = self.scout_encodings(&plain).await;
        let uri = self.error_uri.clone();
        let error = self.exchange(&Step::get(anything).at(&uri), &mut Vec::new()).await.ok();
        let is_error = |answer: &Answer| {
            answer.status().is_client_error() || answer.status().is_server_error()
        };
        Some(Baseline {
            plain,
            encoded,
            error: error.filter(is_error).map(|answer| (uri, answer)),
            encodings: self.encodings.clone(),
            query: self.query.clone(),
            write: self.write.clone(),
            was_written: None,
            can_change: self.change.is_some(),
            can_restore: self.restore.is_some(),
        })
    }

    /// Sends plain requests for encoded content, until one gets it.
    async fn scout_encodings(&mut self, plain: &Answer) -> Result<(HeaderValue, Answer), Why> {
        // If the plain answer has the same coding, the content is stored encoded, and is not
        // negotiated.
        let is_negotiated = |answer: &Answer| {
            let coding = |answer: &Answer| answer.headers().get(CONTENT_ENCODING).cloned();
            is_encoded(answer) && coding(answer) != coding(plain)
        };
        for encoding in self.encodings.clone() {
            let step = Step::get(anything).with(ACCEPT_ENCODING, encoding.clone());
            if let Some(answer) =
                self.exchange(&step, &mut Vec::new()).await.ok().filter(is_negotiated)
            {
                return Ok((encoding, answer));
            }
        }
        Err(no_encoding(plain, &self.encodings))
    }

    /// Fetches the resource again, because an earlier check may have changed it.
    async fn look_again(&mut self, baseline: &mut Baseline) {
        if let Ok(plain) = self.exchange(&Step::get(anything), &mut Vec::new()).await {
            baseline.plain = plain;
        }
    }

    async fn check(&mut self, rule: &Rule, baseline: &Baseline, log: &mut Vec<String>) -> Verdict {
        if rule.alters() && baseline.plain.status() != StatusCode::OK {
            return not_applicable("the resource is gone by now");
        }
        let steps = match (rule.steps)(baseline) {
            Ok(steps) => steps,
            Err(why) => return not_applicable(why),
        };
        let mut answers = Vec::new();
        for step in &steps {
            self.alter(step.after, log).await;
            let step = match step.filled(&answers) {
                Ok(step) => step,
                Err(Fault::Moot(why) | Fault::Wrong(why)) => return not_applicable(why),
            };
            let answer = match self.exchange(&step, log).await {
                Ok(answer) => answer,
                Err(why) => return Verdict::Failed(format!("an answer; {why}")),
            };
            match (step.expect)(baseline, &answers, &answer) {
                Ok(()) => answers.push(answer),
                Err(Fault::Wrong(wanted)) => return Verdict::Failed(wanted),
                Err(Fault::Moot(why)) => return not_applicable(why),
            }
        }
        Verdict::Passed
    }

    /// Calls the user's function that changes or restores the resource, if a
    /// step needs that.
    async fn alter(&mut self, what: Option<Alteration>, log: &mut Vec<String>) {
        let (said, change) = match what {
            Some(Alteration::Change) => ("(the resource is changed)", &mut self.change),
            Some(Alteration::Restore) => ("(older content is restored)", &mut self.restore),
            None => return,
        };
        log.push(said.to_owned());
        if let Some(change) = change {
            change.change().await;
        }
    }

    /// Returns the verdict, changed if the user expects this check to fail.
    fn expect(&self, rule: &Rule, verdict: Verdict) -> Verdict {
        let expected = self.expected.iter().find(|(name, _)| rule.is_named(name));
        match (verdict, expected) {
            (Verdict::Failed(_), Some((_, why))) => Verdict::Expected(why.clone()),
            (Verdict::Passed, Some((name, _))) if name == rule.name => {
                Verdict::Failed("a failure, as expected; do not expect it any more".to_owned())
            }
            (verdict, _) => verdict,
        }
    }

    /// Returns the verdict of `rule` for a service that does not answer. The group
    /// `answer` fails, and all other checks are not applicable.
    async fn check_silence(&mut self, rule: &Rule, log: &mut Vec<String>) -> Verdict {
        if !rule.is_named("answer") {
            return not_applicable("there is no answer");
        }
        match self.exchange(&Step::get(anything), log).await {
            Ok(_) => Verdict::Failed("an answer, each time".to_owned()),
            Err(why) => Verdict::Failed(format!("an answer; {why}")),
        }
    }

    async fn check_custom(&mut self, custom: CustomCheck<'_>) -> Finding {
        let mut log = Vec::new();
        let verdict = match self.exchange(&Step::given(&custom.request, anything), &mut log).await {
            Ok(answer) if (custom.holds)(&answer.head) => Verdict::Passed,
            Ok(_) => Verdict::Failed(custom.name.clone()),
            Err(why) => Verdict::Failed(format!("an answer; {why}")),
        };
        let (name, severity) = (custom.name.into(), Severity::Must);
        Finding { name, clause: String::new(), severity, claim: "", hint: "", log, verdict }
    }

    /// Sends a request, and logs what was sent and received.
    async fn exchange(&mut self, step: &Step, log: &mut Vec<String>) -> Result<Answer, String> {
        let mut request = Request::new(step.content.clone());
        *request.method_mut() = step.method.clone();
        *request.uri_mut() = step.uri.clone().unwrap_or_else(|| self.uri.clone());
        *request.headers_mut() = step.fields.clone();
        for (name, value) in
            self.headers.iter().filter(|(name, _)| !step.fields.contains_key(*name))
        {
            request.headers_mut().append(name, value.clone());
        }
        show_request(&request, log);
        let limits = ReadLimits { timeout: self.timeout, may_be_endless: self.may_be_endless };
        let answer = self.target.send(request.map(Content::from), limits).await;
        match &answer {
            Ok(answer) => show_answer(answer, log),
            Err(why) => log.push(format!("< ({why})")),
        }
        answer
    }
}

/// Returns why a check is not applicable, if it needs a setting that the user
/// did not set.
fn lacks(baseline: &Baseline, rule: &Rule) -> Option<Why> {
    if rule.is_named("change") && !baseline.can_change {
        return Some("it was not said how to change the resource (`Check::changes`)".into());
    }
    if rule.is_named("change/rollback") && !baseline.can_restore {
        return Some("it was not said how to restore older content (`Check::restores`)".into());
    }
    if rule.is_named("write") {
        return baseline.write().err();
    }
    if rule.is_named("query") {
        return baseline.query().err();
    }
    None
}

fn not_applicable(why: impl Into<String>) -> Verdict {
    Verdict::NotApplicable(why.into())
}
