//! Every rule has a page in the book, a bad and a good example, and a snapshot of what it says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lint::{Finding, Nodes, RULES, Rule, check_with, page};
use profile::Profile;
use serde_json::Value;
use syscalls::Architecture;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules")
}

/// The contents in the code block below a heading of a page.
fn example(id: &str, heading: &str) -> Value {
    let page = page(id).unwrap();
    let (_, section) =
        page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("{id}: {heading}"));
    let (_, block) = section.split_once("```yaml\n").unwrap();
    serde_saphyr::from_str(block.split_once("```").unwrap().0).unwrap()
}

/// The nodes of a rule's examples: any, unless the rule is about known ones. Those of a good example have its architectures.
fn nodes(rule: &Rule, heading: &str) -> Nodes {
    let architectures = match (rule.id, heading) {
        ("other-byte-order", "Bad") => vec![Architecture::X86_64, Architecture::S390x],
        ("other-byte-order", _) => vec![Architecture::S390x],
        _ => Vec::new(),
    };
    Nodes { architectures, ..Nodes::default() }
}

/// The findings about an example of a rule, with those of that rule if it is one on request.
fn findings_of(rule: &Rule, heading: &str, contents: &Value) -> Vec<Finding> {
    check_with(&Profile::from_value(contents).unwrap(), &nodes(rule, heading), &[rule.id])
}

/// The list of all rules.
fn index() -> String {
    let rows: String = RULES
        .iter()
        .map(|rule| format!("| [{id}]({id}.md) | {} | {} |\n", rule.severity, rule.summary, id = rule.id))
        .collect();
    format!(
        "# Rules of kubectl seccomp lint\n\n\
         `kubectl seccomp lint FILE` checks a profile by these rules. It needs no cluster. `kubectl seccomp rule ID` prints \
         the page\nof a rule. An *error* is a profile that does something else than it says; a *warning* is a consequence \
         that its author may not\nknow; an *info* is a part that has no effect, or not everywhere. Facts about runtimes were \
         measured with the versions that\nthe pages name. Examples are excerpts: most permit less than \
         a container needs to start ([cannot-start](cannot-start.md)).\n\n\
         | rule | severity | meaning |\n|---|---|---|\n{rows}"
    )
}

/// With `UPDATE_DOCS=1` (`make generate`) it writes them.
#[test]
fn the_pages_in_the_book_are_the_documentation_of_the_rules() {
    let mut right: Vec<(String, String)> =
        RULES.iter().map(|rule| (format!("{}.md", rule.id), page(rule.id).unwrap())).collect();
    right.push(("README.md".to_owned(), index()));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let _ = fs::remove_dir_all(docs());
        fs::create_dir_all(docs()).unwrap();
        right.iter().for_each(|(name, page)| fs::write(docs().join(name), page).unwrap());
    }
    let held: BTreeSet<String> = fs::read_dir(docs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(held, right.iter().map(|(name, _)| name.clone()).collect(), "run `make generate`");
    for (name, page) in right {
        let held = fs::read_to_string(docs().join(&name)).unwrap();
        assert!(held == page, "docs/rules/{name} differs from the rule: run `make generate`");
    }
}

#[test]
fn every_rule_has_an_id_in_kebab_case_and_a_page_that_begins_with_its_summary() {
    assert!(RULES.is_sorted_by(|one, other| one.id < other.id));
    for rule in RULES {
        assert!(
            rule.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{}",
            rule.id
        );
        let page = page(rule.id).unwrap();
        let parts: Vec<&str> = page.split("\n\n").collect();
        assert_eq!(parts[0], format!("# {}", rule.id));
        assert_eq!(parts[2], rule.summary, "{}", rule.id);
    }
    assert_eq!(page("no-such-rule"), None);
}

#[test]
fn every_bad_example_breaks_its_rule_and_every_good_one_breaks_none() {
    // Of most examples the list of permitted calls is an excerpt.
    let excerpt =
        |rule: &Rule, finding: &Finding| rule.id != "cannot-start" && finding.rule == "cannot-start";
    for rule in RULES {
        let bad = findings_of(rule, "Bad", &example(rule.id, "Bad"));
        assert!(bad.iter().any(|finding| finding.rule == rule.id), "{}: {bad:#?}", rule.id);
        let mut good = findings_of(rule, "Good", &example(rule.id, "Good"));
        good.retain(|finding| !excerpt(rule, finding));
        assert!(good.is_empty(), "{}: {good:#?}", rule.id);
    }
}

#[test]
fn what_each_rule_says_of_its_bad_example() {
    for rule in RULES {
        let found: String = findings_of(rule, "Bad", &example(rule.id, "Bad"))
            .into_iter()
            .filter(|finding| finding.rule == rule.id)
            .map(|finding| {
                let fix = finding.fix.map(|fix| format!("\n  fix ({:?}): {}", fix.safety, fix.title));
                format!("{}: {}{}\n", finding.path, finding.message, fix.unwrap_or_default())
            })
            .collect();
        insta::assert_snapshot!(rule.id, found);
    }
}

/// The fix of each bad example gives a valid profile, in which the rule no longer finds what it found.
#[test]
fn every_fix_mends_what_was_found() {
    let mut fixes = 0;
    for rule in RULES {
        let mut contents = example(rule.id, "Bad");
        let findings = |contents: &Value| findings_of(rule, "Bad", contents);
        let count =
            |contents: &Value| findings(contents).iter().filter(|finding| finding.rule == rule.id).count();
        while let Some(finding) =
            findings(&contents).into_iter().find(|finding| finding.rule == rule.id && finding.fix.is_some())
        {
            let before = count(&contents);
            assert!(finding.fix.as_ref().unwrap().apply(&mut contents), "{}: {finding:#?}", rule.id);
            assert!(count(&contents) < before, "{}: {finding:#?}", rule.id);
            fixes += 1;
        }
    }
    assert!(fixes >= 10, "{fixes}");
}
