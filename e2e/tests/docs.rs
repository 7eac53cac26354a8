//! Every link in the documentation has a target, every page is in the book, and every command that no test runs has a
//! reason. Without a cluster; the commands themselves are run by `tests/cluster/documented.rs` and `tests/without_cluster.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use xtask::workspace::repository;

mod copied;
mod pages;

use pages::{How, Page};

/// The fewest links that there may be; that they are found at all shows in this.
const LINKS: usize = 100;

/// Every page for people: the README and what it leads to.
fn all() -> Vec<Page> {
    let mut paths =
        ["README.md", "CONTRIBUTING.md", "charts/seccomp-profile/README.md"].map(PathBuf::from).to_vec();
    below(Path::new("docs"), &mut paths);
    paths.sort();
    paths.iter().map(|path| Page::read(&path.display().to_string())).collect()
}

fn below(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(repository().join(directory)).unwrap() {
        let path = directory.join(entry.unwrap().file_name());
        if repository().join(&path).is_dir() {
            below(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}

/// A text without its fenced blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Where the links and images of a text lead.
fn links(prose: &str) -> Vec<String> {
    // Code has brackets, too.
    let plain: String = prose.split('`').step_by(2).collect();
    let rest = plain.split("](").skip(1);
    rest.map(|rest| rest.split([')', ' ']).next().unwrap_or_default().to_owned()).collect()
}

/// The names under which the headings of a text are reached, as GitHub and mdBook give them.
fn anchors(prose: &str) -> BTreeSet<String> {
    let mut times = BTreeMap::<String, usize>::new();
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let named = headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let seen = times.entry(name.clone()).or_default();
        *seen += 1;
        if *seen > 1 { format!("{name}-{}", *seen - 1) } else { name }
    });
    named.collect()
}

/// A path without `..`, which a browser resolves by the text alone.
fn resolved(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(parts.pop(), "{} leads out of the repository", path.display()),
            part => parts.push(part),
        }
    }
    parts
}

/// The repository's address for readers of the book: links to files outside the book lead there.
const REPOSITORY: [&str; 2] = [
    "https://github.com/imjasonh/seccomp-profile/blob/main/",
    "https://github.com/imjasonh/seccomp-profile/tree/main/",
];

/// Whether a link of a page leads somewhere; why not, otherwise. What is of others is not asked.
fn follow(page: &Page, link: &str) -> Result<(), String> {
    let ours = REPOSITORY.iter().find_map(|repository| link.strip_prefix(repository));
    if ours.is_none() && ["http://", "https://"].iter().any(|scheme| link.starts_with(scheme)) {
        return Ok(());
    }
    let dead = |why: &str| Err(format!("{}: {link}: {why}", page.path));
    let link = ours.unwrap_or(link);
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let from = Path::new(&page.path);
    let target = match ours {
        Some(_) => PathBuf::from(path),
        None if path.is_empty() => from.to_owned(),
        None => resolved(&from.parent().unwrap().join(path)),
    };
    if !repository().join(&target).exists() {
        return dead(&format!("there is no {}", target.display()));
    }
    if ours.is_none() && from.starts_with("docs") && !target.starts_with("docs") {
        return dead(&format!("this is not in the book; begin with {}", REPOSITORY[0]));
    }
    match anchor {
        Some(anchor)
            if !anchors(&prose(&Page::read(&target.display().to_string()).text)).contains(anchor) =>
        {
            dead("no such heading")
        }
        _ => Ok(()),
    }
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut dead = Vec::new();
    let mut number = 0;
    for page in all() {
        for link in links(&prose(&page.text)) {
            number += 1;
            dead.extend(follow(&page, &link).err());
        }
    }
    assert!(number >= LINKS, "only {number} links were found");
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn a_dead_link_is_found() {
    let page = |text: &str| Page { path: "docs/removal.md".to_owned(), text: text.to_owned() };
    let text =
        "# A `b` (c)\n\n[x](security.md#advice) `[no](link)`\n```sh\n[no](link)\n```\n[y](../README.md)";
    assert_eq!(links(&prose(text)), ["security.md#advice", "../README.md"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c".to_owned()]));
    for (link, lives) in [
        ("security.md#advice", true),
        ("security.md#advise", false),
        ("securety.md", false),
        ("../README.md", false),
        ("https://github.com/imjasonh/seccomp-profile/blob/main/README.md#more", true),
        ("https://github.com/imjasonh/seccomp-profile/blob/main/README.md#less", false),
        ("https://github.com/imjasonh/seccomp-profile/tree/main/docs/men", false),
        ("#a-b-c", false),
        ("#with-helm-uninstall", true),
        ("https://example.org/", true),
    ] {
        assert_eq!(follow(&page(text), link).is_ok(), lives, "{link}");
    }
}

#[test]
fn every_page_of_the_docs_is_in_the_book_once() {
    let summary = Page::read("docs/SUMMARY.md");
    let mut listed = links(&summary.text);
    listed.sort();
    let there = all().into_iter().filter_map(|page| Some(page.path.strip_prefix("docs/")?.to_owned()));
    let mut there: Vec<_> = there.filter(|path| path != "SUMMARY.md").collect();
    there.sort();
    assert_eq!(listed, there);
}

/// The files below a directory whose names end so.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let below = entries.flat_map(|entry| match entry.unwrap().path() {
        path if path.is_dir() => files(&path, extension),
        path => vec![path],
    });
    below.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
#[ignore = "needs the book: make docs"]
fn no_link_within_the_book_that_was_built_is_dead() {
    let book = repository().join("target/book");
    let mut dead = BTreeSet::new();
    let mut followed = 0;
    for page in files(&book, "html") {
        let text = fs::read_to_string(&page).unwrap();
        for link in
            text.split("href=\"").skip(1).map(|rest| rest.split(['"', '#']).next().unwrap_or_default())
        {
            // The page for what is not found has links from the root.
            if link.is_empty() || link.contains(':') || page.ends_with("404.html") {
                continue;
            }
            followed += 1;
            if !page.parent().unwrap().join(link).exists() {
                dead.insert(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(followed >= LINKS && dead.is_empty(), "of {followed} these are dead: {dead:#?}");
}

/// What the tests do not run, and what runs it instead, if anything can.
#[test]
fn only_these_commands_are_not_run() {
    let mut found = Vec::new();
    for page in all() {
        for block in page.blocks() {
            if let How::NotRun(why) = block.how {
                found.push((page.path.clone(), why));
            }
        }
    }
    let wanted = [
        ("README.md", "make test is what runs all of this"),
        ("README.md", "needs Docker"),
        ("charts/seccomp-profile/README.md", "the registry is yours"),
        ("docs/how-to/attach-to-an-image.md", "the registry is yours"),
        ("docs/how-to/attach-to-an-image.md", "the registry is yours"),
        ("docs/how-to/attach-to-an-image.md", "the registry is yours"),
        ("docs/how-to/derive.md", "the registry is yours"),
        ("docs/how-to/derive.md", "the registry is yours"),
        ("docs/how-to/first-profile.md", "reads the kernel log of a node"),
        ("docs/how-to/images.md", "the registry is yours"),
        ("docs/how-to/images.md", "the registry is yours"),
        ("docs/how-to/images.md", "the registry is yours"),
        ("docs/how-to/images.md", "the registry is yours"),
        ("docs/how-to/images.md", "there are none on this cluster"),
        ("docs/how-to/inspect-an-image.md", "the registry is yours"),
        ("docs/how-to/learn.md", "needs the program"),
        ("docs/how-to/learn.md", "needs the observer"),
        ("docs/how-to/learn.md", "needs the observer"),
        ("docs/how-to/migrate-from-security-profiles-operator.md", "needs the other operator"),
        ("docs/how-to/migrate-from-security-profiles-operator.md", "needs the other operator"),
        ("docs/how-to/migrate-from-security-profiles-operator.md", "needs the other operator"),
        ("docs/how-to/new-nodes.md", "needs GKE"),
        ("docs/how-to/new-nodes.md", "needs node-readiness-controller"),
        ("docs/how-to/openshift.md", "needs OpenShift"),
        ("docs/how-to/openshift.md", "needs OpenShift"),
        ("docs/removal.md", "e2e/tests/cluster/removal.rs runs it"),
        ("docs/removal.md", "the nodes of the tests have no such taint"),
        ("docs/removal.md", "e2e/tests/cluster/installing.rs runs it"),
        ("docs/removal.md", "e2e/tests/cluster/removal.rs runs it"),
        ("docs/removal.md", "e2e/tests/cluster/removal.rs runs it"),
        ("docs/runbooks/SeccompProfileDriftRepeated.md", "needs auditd on the node"),
        ("docs/tutorial/getting-started.md", "the registry is yours"),
        ("docs/tutorial/kind.md", "needs Docker"),
        ("docs/tutorial/kind.md", "needs Docker"),
    ];
    assert_eq!(found, wanted.map(|(page, why)| (page.to_owned(), why.to_owned())));
}

#[test]
fn what_varies_from_run_to_run_is_no_difference() {
    let shown = "NAME   READY   AGE   NODE\nweb-7c9498897b-5gn4m   2/2   5s   …\nEvents:\n  Age\n  3s\n\nok: 2026-01-01T00:00:00Z";
    let printed = "NAME READY AGE NODE\nweb-6b7d8f9c4d-zx2vw 2/2 1m12s node-1\nEvents: <none>\n\nok: 2026-11-25T08:03:50Z";
    assert!(pages::is_shown(shown, printed));
    for other in ["", "NAME READY AGE NODE", &printed.replace("2/2", "1/2"), &printed.replace("ok", "no")] {
        assert!(!pages::is_shown(shown, other), "{other}");
    }
    for (shown, printed, alike) in [
        ("a…c", "abc", true),
        ("a…c", "ac", true),
        ("a …", "a b c", true),
        ("a…", "b", false),
        ("a…c", "abcd", false),
    ] {
        assert_eq!(pages::is_shown(shown, printed), alike, "{shown} {printed}");
    }
}

#[test]
fn what_kubectl_logs_about_its_own_watches_is_no_difference() {
    let shown = "profile deleted\nnamespace deleted";
    let logged = "I1130 03:51:32.100181   21521 reflector.go:664] \"Warning: watch ended with error\"";
    assert!(pages::is_shown(shown, &format!("profile deleted\n{logged}\nnamespace deleted")));
    for other in ["I1130 pods are left", "Error from server (NotFound)", "E1130 03:51:32.100181 no place"] {
        assert!(!pages::is_shown(shown, &format!("{shown}\n{other}")), "{other}");
    }
}

#[test]
fn an_ellipsis_alone_on_a_line_stands_for_any_number_of_lines() {
    for (shown, printed, alike) in [
        ("a\n…\nd", "a\nb\nc\nd", true),
        ("a\n…\nd", "a\nd", true),
        ("…\nd", "a\nb\nd", true),
        ("a\n…", "a", true),
        ("a\n…\nd", "a\nb\nc", false),
        ("a\n…\nd", "b\nd", false),
        ("a …\nd", "a b\nc\nd", false),
    ] {
        assert_eq!(pages::is_shown(shown, printed), alike, "{shown} {printed}");
    }
}

#[test]
fn commands_of_a_transcript_are_found_with_what_they_print() {
    let text = "```console\n$ a \\\n>   b\nc\n> d\n\n$ e # f\n$ g\nh\n```\n```sh\n$ i\n```\n";
    let page = Page { path: String::new(), text: text.to_owned() };
    let found: Vec<_> = page.transcripts().concat().into_iter().map(|it| (it.command, it.shown)).collect();
    let expected = [("a \\\n  b", "c\n> d"), ("e # f", ""), ("g", "h")];
    assert_eq!(found, expected.map(|(command, shown)| (command.to_owned(), shown.to_owned())));
}

/// No test runs a transcript only because it is there. Those in `docs/transcripts/` are made by tests; of each other one this
/// says what holds it.
#[test]
fn transcripts_stand_only_where_something_holds_them() {
    let mut found = Vec::new();
    for page in all().iter().filter(|page| !page.path.starts_with("docs/transcripts/")) {
        for transcript in page.transcripts() {
            found.push((page.path.clone(), transcript[0].command.clone()));
        }
    }
    let wanted = [
        // The tests run the same commands further below, and other pages show what they print.
        ("README.md", "kubectl apply --server-side -f profiles/"),
        // A CronJob and another program's file were made for it; the commands have tests with the same output.
        ("README.md", "kubectl seccomp status"),
        // `tests/without_cluster.rs` runs the others.
        ("README.md", "kubectl seccomp convert web.json --architecture amd64 >web.yaml"),
        ("README.md", "kubectl seccomp convert client.yaml --base start.yaml >client-converted.yaml"),
        ("README.md", "strace -f -X raw -o web.log ./web"),
    ];
    assert_eq!(found, wanted.map(|(page, command)| (page.to_owned(), command.to_owned())));
}

#[test]
fn commands_are_found_with_what_they_print() {
    let text = "# One\n```sh\na\n```\n\n```text\nb\n```\n## Two\n```sh exits-with: 1\nc\n```\nwords\n```text\nd\n```\n```sh not-run: why\ne\n```\n";
    let page = Page { path: String::new(), text: text.to_owned() };
    let blocks = page.blocks();
    let found: Vec<_> = blocks
        .iter()
        .map(|block| {
            (&*block.heading, &*block.script, &block.how, block.printed.as_ref().map(|at| page.shown(at)))
        })
        .collect();
    assert_eq!(
        found,
        [
            ("One", "a\n", &How::ExitsWith(0), Some("b\n")),
            ("Two", "c\n", &How::ExitsWith(1), None),
            ("Two", "e\n", &How::NotRun("why".to_owned()), None),
        ]
    );
}
