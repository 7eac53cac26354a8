//! Commands that people copy: none of them meets the objects of another product, or fails on an object with two of a kind.

use super::all;
use super::pages::Page;

/// What people copy besides the pages.
const TO_COPY: [&str; 2] =
    ["charts/seccomp-profile/templates/NOTES.txt", "charts/seccomp-profile/files/alerts.yaml"];

/// The commands of kubectl in a text that change, wait for or evaluate SeccompProfiles and name the kind without its
/// group. The Security Profiles Operator has a kind with the same plural name: beside it, such a command may meet its
/// objects.
fn ambiguous(text: &str) -> Vec<String> {
    const VERBS: [&str; 8] = ["annotate", "apply", "delete", "edit", "label", "patch", "replace", "wait"];
    const FORMS: [&str; 5] = ["jsonpath", "go-template", "name", "json", "custom-columns"];
    let commands = text
        .split("kubectl ")
        .skip(1)
        .map(|rest| rest.split(['\n', '`', '|', ';']).next().unwrap_or_default());
    let names_the_kind = |word: &str| {
        let word = word.split('/').next().unwrap_or_default();
        ["seccompprofile", "seccompprofiles", "scp"].contains(&word)
    };
    let is_evaluated = |command: &str| {
        let output = ["-o ", "-o=", "--output ", "--output="].map(|flag| command.split_once(flag));
        output.iter().flatten().any(|(_, form)| FORMS.iter().any(|known| form.starts_with(known)))
    };
    let found = commands.filter(|command| {
        let mut words = command.split_whitespace().filter(|word| !word.starts_with('-'));
        let acts = words.clone().any(|word| VERBS.contains(&word)) || is_evaluated(command);
        acts && words.any(names_the_kind)
    });
    found.map(str::to_owned).collect()
}

#[test]
fn no_command_deletes_or_scripts_by_a_plural_that_another_product_has_too() {
    let mut found = Vec::new();
    let copied = TO_COPY.map(Page::read);
    for page in all().iter().chain(&copied) {
        found.extend(ambiguous(&page.text).into_iter().map(|command| format!("{}: {command}", page.path)));
    }
    assert!(found.is_empty(), "name the kind seccompprofiles.seccomp.imjasonh.dev in {found:#?}");
}

#[test]
fn a_command_that_may_meet_the_objects_of_another_product_is_found() {
    for (text, number) in [
        ("kubectl delete seccompprofile audit", 1),
        ("Say `kubectl -n x delete seccompprofiles --all`, or `kubectl patch scp audit -p x`.", 2),
        ("kubectl wait --for=delete seccompprofile/audit", 1),
        ("kubectl get seccompprofiles -o jsonpath='{.x}'", 1),
        ("kubectl get seccompprofile audit --output=name", 1),
        ("kubectl get seccompprofiles -o wide\nkubectl describe seccompprofile audit", 0),
        ("kubectl delete seccompprofiles.seccomp.imjasonh.dev audit", 0),
        (
            "kubectl delete seccompprofiles.seccomp.imjasonh.dev/audit\nseccompprofile.seccomp.imjasonh.dev \"audit\" deleted",
            0,
        ),
        ("kubectl get pods -o name; kubectl delete pod audit", 0),
    ] {
        assert_eq!(ambiguous(text).len(), number, "{text}");
    }
}

/// The filters of kubectl's jsonpath in a text that compare several elements with one value. kubectl fails with "can only
/// compare one element at a time" as soon as an object has two, such as a node with two taints.
fn comparisons_of_several(text: &str) -> Vec<String> {
    // Up to the bracket that ends the filter, as the inner ones are even.
    let filter = |rest: &str| {
        let mut open = 1;
        let end = rest.find(|letter| {
            open += i32::from(letter == '(') - i32::from(letter == ')');
            open == 0
        });
        rest[..end.unwrap_or(rest.len())].to_owned()
    };
    let filters = text.split("?(").skip(1).map(filter);
    filters.filter(|it| it.contains("[*]") || it.contains("..")).collect()
}

#[test]
fn no_command_compares_several_elements_with_one_value() {
    let copied = TO_COPY.map(Page::read);
    for page in all().iter().chain(&copied) {
        assert_eq!(comparisons_of_several(&page.text), [""; 0], "{}", page.path);
    }
}

#[test]
fn a_command_that_compares_several_elements_with_one_value_is_found() {
    for (text, number) in [
        (r#"{.items[?(@.spec.taints[*].key=="a")].metadata.name}"#, 1),
        (r#"{.items[?(@..key=="a")]}{.items[?(@.spec.schedulingGates[*].name=="b")]}"#, 2),
        (r#"{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{.a[*].b}{end}"#, 0),
        ("{.items[?(@.spec.contents.listenerPath)]}, and so on [*]", 0),
    ] {
        assert_eq!(comparisons_of_several(text).len(), number, "{text}");
    }
}
