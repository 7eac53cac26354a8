use lint::Edit;
use profile::{FieldPath, Segment};
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

use super::edited;
use crate::manifest::profiles_in;

/// A path such as `syscalls.0.names`.
fn path(text: &str) -> FieldPath {
    text.split('.').map(|step| step.parse::<usize>().map_or_else(|_| step.into(), Segment::from)).collect()
}

fn remove(at: &str) -> Edit {
    Edit::Remove { path: path(at) }
}

fn set(at: &str, value: impl Into<Value>) -> Edit {
    Edit::Set { path: path(at), value: value.into() }
}

fn append(at: &str, values: Value) -> Edit {
    Edit::Append { path: path(at), values: values.as_array().unwrap().clone() }
}

/// The text after an edit of its last profile, which is read again.
fn after(text: &str, edit: &Edit) -> Option<String> {
    let before = profiles_in(text).unwrap();
    let profile = before.last().unwrap();
    let changed = edited(text, profile, edit)?;
    let mut expected = profile.value.clone();
    assert!(edit.apply(&mut expected), "{edit:?}");
    let read = profiles_in(&changed).unwrap_or_else(|error| panic!("{error}:\n{changed}"));
    assert_eq!(read.last().unwrap().value, expected, "{changed}");
    Some(changed)
}

const BLOCK: &str = "\
# Of the web team.
apiVersion: seccomp.imjasonh.dev/v1alpha1
kind: SeccompProfile
metadata: {name: web}
spec:
  contents:
    defaultAction: SCMP_ACT_ERRNO # EPERM
    syscalls:
      # Files.
      - names:
          - read
          - 'write' # to files

          - openat
        action: SCMP_ACT_ALLOW
      # Nothing else.
      - action: SCMP_ACT_ERRNO # again
        errnoRet: 1
        names: [mount, # old
                fsopen,
                fsmount # new
               ]
";

#[test]
fn an_edit_of_lines_leaves_all_others_as_they_are() {
    let without =
        |lines: &[&str]| lines.iter().fold(BLOCK.to_owned(), |text, line| text.replacen(line, "", 1));
    let after = |edit| after(BLOCK, &edit).unwrap();
    assert_eq!(after(remove("syscalls.0.names.1")), without(&["          - 'write' # to files\n"]));
    assert_eq!(after(remove("syscalls.0.names.2")), without(&["          - openat\n"]));
    let rule = BLOCK.split_once("      - action: SCMP_ACT_ERRNO # again\n").unwrap().0;
    assert_eq!(after(remove("syscalls.1")), rule);
    assert_eq!(after(remove("syscalls.1.errnoRet")), without(&["        errnoRet: 1\n"]));
    assert_eq!(
        after(set("syscalls.0.names.1", "writev")),
        BLOCK.replace("'write' # to files", "writev # to files")
    );
    assert_eq!(after(set("syscalls.1.errnoRet", 38)), BLOCK.replace("errnoRet: 1", "errnoRet: 38"));
    assert_eq!(
        after(append("syscalls.0.names", json!(["openat2", "no"]))),
        BLOCK.replace("- openat\n", "- openat\n          - openat2\n          - \"no\"\n")
    );
    let rule = json!([{ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }]);
    let text = after(append("syscalls", rule));
    assert!(text.starts_with(BLOCK.trim_end().trim_end_matches(']').trim_end()), "{text}");
    assert!(text.contains("\n        errnoRet: 38\n"), "{text}");
}

#[test]
fn an_edit_of_items_in_brackets_keeps_the_comments_of_the_others() {
    let after = |edit| after(BLOCK, &edit).unwrap();
    assert_eq!(after(remove("syscalls.1.names.0")), BLOCK.replace("[mount, # old", "[ # old"));
    assert_eq!(after(remove("syscalls.1.names.1")), BLOCK.replace("                fsopen,\n", ""));
    assert_eq!(
        after(remove("syscalls.1.names.2")),
        BLOCK.replace("fsopen,", "fsopen").replace("                fsmount # new\n", "")
    );
    let appended = after(append("syscalls.1.names", json!(["fspick"])));
    assert_eq!(appended, BLOCK.replace("fsmount # new", "fsmount,\n                fspick # new"));
}

#[test]
fn json_stays_as_compact_or_as_wide_as_it_was() {
    let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "action": "SCMP_ACT_ALLOW", "names": ["read", "write", "read"] }, { "action": "SCMP_ACT_LOG", "names": ["a"] },
    ] });
    let compact = contents.to_string();
    let after = |text: &str, edit| after(text, &edit).unwrap();
    assert_eq!(after(&compact, remove("syscalls.0.names.2")), compact.replace(r#","read"]"#, "]"));
    assert_eq!(after(&compact, remove("syscalls.0.names.0")), compact.replace(r#"["read","#, "["));
    let added = after(&compact, append("syscalls.0.names", json!(["b"])));
    assert_eq!(added, compact.replace(r#""read"]"#, r#""read","b"]"#));
    assert!(
        !after(&compact, append("syscalls", json!([{ "names": ["b"], "action": "SCMP_ACT_LOG" }])))
            .contains(' ')
    );
    let pretty = serde_json::to_string_pretty(&contents).unwrap();
    let without = after(&pretty, remove("syscalls.0.names.2"));
    assert_eq!(without, pretty.replace("\"write\",\n        \"read\"\n", "\"write\"\n"));
    let more = after(&pretty, append("syscalls.0.names", json!(["b"])));
    assert_eq!(more, pretty.replace("\"read\"\n", "\"read\",\n        \"b\"\n"));
}

#[test]
fn line_ends_and_a_missing_last_one_stay() {
    let windows = BLOCK.replace('\n', "\r\n");
    for edit in [
        remove("syscalls.0.names.1"),
        remove("syscalls.1"),
        append("syscalls.0.names", json!(["openat2"])),
        append("syscalls.1.names", json!(["fspick"])),
        set("syscalls.1.errnoRet", 38),
    ] {
        let text = after(&windows, &edit).unwrap();
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
        assert_eq!(text.replace("\r\n", "\n"), after(BLOCK, &edit).unwrap());
    }
    let short = "defaultAction: SCMP_ACT_LOG\nsyscalls:\n- names: [read]\n  action: SCMP_ACT_ALLOW";
    let text =
        after(short, &append("syscalls", json!([{ "names": ["b"], "action": "SCMP_ACT_TRAP" }]))).unwrap();
    assert!(text.starts_with(short) && text.lines().count() == 6 && !text.ends_with('\n'), "{text}");
}

#[test]
fn a_list_may_become_empty() {
    let text = "defaultAction: SCMP_ACT_LOG\nsyscalls: # none yet\n- names: [read]\n  action: SCMP_ACT_LOG\nflags: []\n";
    assert_eq!(
        after(text, &remove("syscalls.0")).unwrap(),
        "defaultAction: SCMP_ACT_LOG\nsyscalls: [] # none yet\nflags: []\n"
    );
    let text = "{\"defaultAction\": \"SCMP_ACT_LOG\", \"syscalls\": [{\"names\": [\"a\"], \"action\": \"SCMP_ACT_LOG\"}]}";
    assert_eq!(
        after(text, &remove("syscalls.0")).unwrap(),
        r#"{"defaultAction": "SCMP_ACT_LOG", "syscalls": []}"#
    );
}

#[test]
fn the_first_field_of_an_item_leaves_its_dash() {
    let text =
        "defaultAction: SCMP_ACT_LOG\nsyscalls:\n- errnoRet: 0\n  names: [a]\n  action: SCMP_ACT_ERRNO\n";
    assert_eq!(
        after(text, &remove("syscalls.0.errnoRet")).unwrap(),
        "defaultAction: SCMP_ACT_LOG\nsyscalls:\n- names: [a]\n  action: SCMP_ACT_ERRNO\n"
    );
    let text = "defaultAction: SCMP_ACT_LOG\nsyscalls: [{errnoRet: 0, names: [a], action: SCMP_ACT_ERRNO}]\n";
    assert!(after(text, &remove("syscalls.0.errnoRet")).unwrap().contains("[{names: [a], action"));
}

/// A rule with a comparison in lines, behind a dash.
const LINES: &str = "\
defaultAction: SCMP_ACT_ALLOW
syscalls:
- names: [setpriority]
  args:
  - index: 2 # the priority
    value: 19
    op: SCMP_CMP_EQ # equal
  action: SCMP_ACT_ERRNO
";

#[test]
fn an_object_in_lines_gets_other_values_and_the_fields_that_it_lacks() {
    let masked =
        json!({ "index": 2, "value": 4_294_967_295_u64, "valueTwo": 19, "op": "SCMP_CMP_MASKED_EQ" });
    let edit = set("syscalls.0.args.0", masked);
    let expected = LINES
        .replace("    value: 19\n", "    value: 4294967295\n    valueTwo: 19\n")
        .replace("_EQ # equal", "_MASKED_EQ # equal");
    assert_eq!(after(LINES, &edit).unwrap(), expected);
    let windows = LINES.replace('\n', "\r\n");
    assert_eq!(after(&windows, &edit).unwrap(), expected.replace('\n', "\r\n"));
    // The value is on the last line, which does not end.
    let last = LINES.replace("    value: 19\n", "").replace("  action: SCMP_ACT_ERRNO\n", "");
    let last = last.replace("- names", "- action: SCMP_ACT_ERRNO\n  names") + "    value: 19";
    assert!(after(&last, &edit).unwrap().ends_with("    value: 4294967295\n    valueTwo: 19"));
    // All fields are there.
    let all = LINES.replace("    value: 19\n", "    valueTwo: 0\n    value: 19\n");
    assert_eq!(after(&all, &edit).unwrap().lines().count(), all.lines().count());
}

#[test]
fn an_object_in_lines_whose_fields_stand_elsewhere_is_not_edited() {
    let edit = set("syscalls.0.args.0", json!({ "index": 2, "op": "SCMP_CMP_NE", "value": 19 }));
    let merged = LINES.replace("    value: 19\n", "    <<: &more {value: 19}\n");
    let alias = LINES.replace("value: 19", "value: *v").replace("- names:", "- errnoRet: &v 19\n  names:");
    let other = LINES.replace("    value: 19\n", "    value: 19\n    valueTwo: 0\n");
    for text in [merged, alias, other] {
        let profiles = profiles_in(&text).unwrap();
        assert_eq!(edited(&text, &profiles[0], &edit), None, "{text}");
    }
}

#[test]
fn the_profile_of_a_later_document_or_behind_a_byte_order_mark_is_edited() {
    for before in ["\u{feff}", "kind: X\n---\n", "---\n# é\n"] {
        let text = format!("{before}{BLOCK}");
        assert_eq!(
            after(&text, &set("syscalls.1.errnoRet", 38)).unwrap(),
            text.replace("errnoRet: 1", "errnoRet: 38")
        );
    }
    let list = format!("{}{BLOCK}", BLOCK.replace("web}", "other}") + "---\n");
    assert!(after(&list, &remove("syscalls.1")).unwrap().contains("SCMP_ACT_ERRNO # again"));
}

#[test]
fn a_place_behind_an_alias_is_not_edited() {
    let text = "defaultAction: SCMP_ACT_ERRNO\nsyscalls:\n- names: &n [a, b]\n  action: SCMP_ACT_ALLOW\n- names: *n\n  action: SCMP_ACT_ALLOW\n";
    let profiles = profiles_in(text).unwrap();
    assert_eq!(edited(text, &profiles[0], &remove("syscalls.1.names.0")), None);
    assert_eq!(edited(text, &profiles[0], &append("syscalls.1.names", json!(["c"]))), None);
}

#[test]
fn a_part_with_a_tag_or_an_anchor_is_not_removed_without_it() {
    for list in
        ["[a, !!str b]", "[!!str b, a]", "[a, &x b, c]", "[\n  a,\n  !!str b\n]", "\n  - a\n  - !!str b"]
    {
        let text = format!(
            "defaultAction: SCMP_ACT_LOG\nsyscalls:\n- action: SCMP_ACT_ALLOW\n  names: {}\n",
            list.replace('\n', "\n  ")
        );
        let profiles = profiles_in(&text).unwrap();
        let at = usize::from(!list.starts_with("[!"));
        assert_eq!(edited(&text, &profiles[0], &remove(&format!("syscalls.0.names.{at}"))), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In JSON and in YAML as programs write them, and with comments.
    #[test]
    fn every_edit_gives_what_it_says_and_keeps_the_comments(
        rules in proptest::collection::vec(subsequence(&["a", "b", "c", "d", "e"][..], 1..5), 1..4),
        rule in 0_usize..4,
        name in 0_usize..5,
        form in 0..5,
    ) {
        let rules: Vec<_> = rules.iter().map(|names| json!({ "names": names, "action": "SCMP_ACT_ALLOW" })).collect();
        let contents = json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": rules, "flags": [] });
        let yaml = || serde_saphyr::to_string(&contents).unwrap();
        let comment = |text: String| text.lines().map(|line| format!("{line} # kept\n# too\n")).collect::<String>();
        let text = match form {
            0 => contents.to_string(),
            1 => serde_json::to_string_pretty(&contents).unwrap(),
            2 => yaml(),
            3 => comment(yaml()),
            _ => comment(serde_json::to_string_pretty(&contents).unwrap()),
        };
        let rule = rule % rules.len();
        let names = rules[rule]["names"].as_array().unwrap().len();
        let edits = [
            remove(&format!("syscalls.{rule}")),
            remove(&format!("syscalls.{rule}.names.{}", name % names)),
            set(&format!("syscalls.{rule}.names.{}", name % names), "f"),
            append(&format!("syscalls.{rule}.names"), json!(["f", "g"])),
            append("syscalls", json!([{ "names": ["f"], "action": "SCMP_ACT_TRAP" }])),
        ];
        for edit in edits {
            // A rule without a name is no profile.
            if matches!(&edit, Edit::Remove { path } if path.segments().len() == 4 && names == 1) {
                continue;
            }
            let changed = after(&text, &edit);
            prop_assert!(changed.is_some(), "{edit:?} of\n{text}");
            let own_lines = |text: &str| text.lines().filter(|line| line.starts_with("# too")).count();
            let (before, kept) = (own_lines(&text), own_lines(&changed.unwrap()));
            if !matches!(&edit, Edit::Remove { path } if path.segments().len() == 2) {
                prop_assert_eq!(before, kept);
            }
        }
    }
}
