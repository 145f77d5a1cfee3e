//! The checks, in the order in which they are made.

mod changes;
mod cors;
mod dates;
mod digests;
mod encodings;
mod errors;
mod head;
mod if_match;
mod if_none_match;
mod not_modified;
mod precedence;
mod queries;
mod ranges;
mod validators;
mod writes;

use crate::rule::Rule;

/// Returns all checks, in the order in which they are made.
///
/// A check comes after the checks that it needs. Checks that change the
/// resource come last.
///
/// ```
/// let names = tower_conditional_conformance::rules().map(|rule| rule.name());
/// assert!(names.into_iter().any(|name| name == "if-match/star"));
/// ```
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        validators::RULES,
        if_none_match::RULES,
        dates::RULES,
        if_match::RULES,
        precedence::RULES,
        not_modified::RULES,
        head::RULES,
        encodings::RULES,
        errors::RULES,
        ranges::RULES,
        digests::RULES,
        cors::RULES,
        queries::RULES,
        changes::RULES,
        writes::RULES,
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_what_is_needed_comes_before() {
        let mut known = HashSet::new();
        for rule in rules() {
            for need in rule.needs {
                assert!(known.contains(need), "{} needs {need}", rule.name);
            }
            assert!(known.insert(rule.name), "{}", rule.name);
            assert_eq!(rule.name.split('/').count(), 2, "{}", rule.name);
        }
    }

    #[test]
    fn every_check_says_what_it_claims_and_how_to_fix_it() {
        for rule in rules() {
            for text in [rule.claim, rule.hint] {
                assert!(text.ends_with('.') && !text.contains('\n'), "{}: {text}", rule.name);
            }
            let section = rule.section.rsplit(", ").next().unwrap();
            assert!(section.split('.').all(|number| number.parse::<u8>().is_ok()), "{}", rule.name);
        }
    }

    #[test]
    fn a_name_stands_for_a_check_or_its_group() {
        let rule = rules().find(|rule| rule.name == "if-match/star").unwrap();
        assert!(rule.is_named("if-match") && rule.is_named("if-match/star"));
        assert!(!rule.is_named("if") && !rule.is_named("if-match/") && !rule.is_named("star"));
    }
}
