//! Makes the checks, one after the other.

use std::{collections::HashMap, mem};

use http::{header::ACCEPT_ENCODING, Request, StatusCode};

use super::{
    answer::Answer,
    ask::{anything, show_answer, show_request, Ask, Fault},
    checks::{self, Rule},
    content::Content,
    facts::{is_encoded, Facts},
    report::{Finding, Report, Severity, Verdict},
    target::Manner,
    Also, Check,
};

impl Check<'_> {
    /// Makes all checks that were asked for.
    pub(super) async fn run(mut self) -> Report {
        let mut findings = Vec::new();
        // Checks that failed, or were not made because others failed; and why those that need them are not made.
        let mut in_vain: HashMap<&str, String> = HashMap::new();
        let mut facts = self.scout().await;
        let left_out = mem::take(&mut self.left_out);
        for rule in checks::all().filter(|rule| !left_out.iter().any(|name| rule.is_named(name))) {
            let mut log = Vec::new();
            let verdict =
                match (&mut facts, rule.needs.iter().find_map(|need| in_vain.get(need).cloned())) {
                    (None, _) => self.judge_silence(rule, &mut log).await,
                    (Some(facts), _) if facts.lacks(rule).is_some() => {
                        not_applicable(facts.lacks(rule).unwrap_or_default())
                    }
                    (Some(_), Some(why)) => {
                        in_vain.insert(rule.name, why.clone());
                        not_applicable(why)
                    }
                    (Some(facts), None) => {
                        if rule.alters() {
                            self.look_again(facts).await;
                        }
                        self.judge(rule, facts, &mut log).await
                    }
                };
            if let Verdict::Failed(_) = verdict {
                in_vain.insert(rule.name, format!("`{}` failed", rule.name));
            }
            let Rule { name, section, severity, claim, hint, .. } = *rule;
            findings.push(Finding {
                name: name.into(),
                section,
                severity,
                claim,
                hint,
                log,
                verdict,
            });
        }
        for also in mem::take(&mut self.also) {
            findings.push(self.judge_also(also).await);
        }
        Report { subject: format!("GET {}", self.uri), findings }
    }

    /// Learns what there is; `None`: no answer.
    async fn scout(&mut self) -> Option<Facts> {
        let plain = self.exchange(&Ask::get(anything), &mut Vec::new()).await.ok()?;
        self.may_be_endless = plain.may_be_endless();
        let mut encoded = None;
        for encoding in self.encodings.clone() {
            let ask = Ask::get(anything).with(ACCEPT_ENCODING, encoding.clone());
            if let Some(answer) = self.exchange(&ask, &mut Vec::new()).await.ok().filter(is_encoded)
            {
                encoded = Some((encoding, answer));
                break;
            }
        }
        let uri = self.error_uri.clone();
        let error = self.exchange(&Ask::get(anything).at(&uri), &mut Vec::new()).await.ok();
        let is_error = |answer: &Answer| {
            answer.status().is_client_error() || answer.status().is_server_error()
        };
        Some(Facts {
            plain,
            encoded,
            error: error.filter(is_error).map(|answer| (uri, answer)),
            encodings: self.encodings.clone(),
            write: self.write.clone(),
            can_change: self.change.is_some(),
        })
    }

    /// Looks at the resource anew: an earlier check may have changed it.
    async fn look_again(&mut self, facts: &mut Facts) {
        if let Ok(plain) = self.exchange(&Ask::get(anything), &mut Vec::new()).await {
            facts.plain = plain;
        }
    }

    async fn judge(&mut self, rule: &Rule, facts: &Facts, log: &mut Vec<String>) -> Verdict {
        if rule.alters() && facts.plain.status() != StatusCode::OK {
            return not_applicable("the resource is gone by now");
        }
        let asks = match (rule.asks)(facts) {
            Ok(asks) => asks,
            Err(why) => return not_applicable(why),
        };
        let mut answers = Vec::new();
        for ask in &asks {
            if ask.after_change {
                log.push("(the resource is changed)".to_owned());
                if let Some(change) = &mut self.change {
                    change.change().await;
                }
            }
            let answer = match self.exchange(ask, log).await {
                Ok(answer) => answer,
                Err(why) => return Verdict::Failed(format!("an answer; {why}")),
            };
            match (ask.wants)(facts, &answers, &answer) {
                Ok(()) => answers.push(answer),
                Err(Fault::Wrong(wanted)) => return Verdict::Failed(wanted),
                Err(Fault::Moot(why)) => return not_applicable(why),
            }
        }
        Verdict::Passed
    }

    /// Judges a service that does not answer: the first check fails, and others need it.
    async fn judge_silence(&mut self, rule: &Rule, log: &mut Vec<String>) -> Verdict {
        if !rule.is_named("answer") {
            return not_applicable("there is no answer");
        }
        match self.exchange(&Ask::get(anything), log).await {
            Ok(_) => Verdict::Failed("an answer, each time".to_owned()),
            Err(why) => Verdict::Failed(format!("an answer; {why}")),
        }
    }

    async fn judge_also(&mut self, also: Also<'_>) -> Finding {
        let mut log = Vec::new();
        let verdict = match self.exchange(&Ask::given(&also.request, anything), &mut log).await {
            Ok(answer) if (also.holds)(&answer.head) => Verdict::Passed,
            Ok(_) => Verdict::Failed(also.name.clone()),
            Err(why) => Verdict::Failed(format!("an answer; {why}")),
        };
        let (name, severity) = (also.name.into(), Severity::Must);
        Finding { name, section: "", severity, claim: "", hint: "", log, verdict }
    }

    /// Sends a request, and notes what was sent and seen.
    async fn exchange(&mut self, ask: &Ask, log: &mut Vec<String>) -> Result<Answer, String> {
        let mut request = Request::new(ask.content.clone());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.uri.clone().unwrap_or_else(|| self.uri.clone());
        *request.headers_mut() = ask.fields.clone();
        for (name, value) in self.headers.iter().filter(|(name, _)| !ask.fields.contains_key(*name))
        {
            request.headers_mut().append(name, value.clone());
        }
        show_request(&request, log);
        let manner = Manner { patience: self.patience, may_be_endless: self.may_be_endless };
        let answer = self.target.send(request.map(Content::from), manner).await;
        match &answer {
            Ok(answer) => show_answer(answer, log),
            Err(why) => log.push(format!("< ({why})")),
        }
        answer
    }
}

fn not_applicable(why: impl Into<String>) -> Verdict {
    Verdict::NotApplicable(why.into())
}
