//! The keeper on a real directory: disks that refuse, restarts, ledgers and profiles that cannot be used.

use std::fs;
use std::os::unix::fs::MetadataExt;

use api::ProblemKind;
use rustix::io::Errno;

use super::testing::{KeeperFixture, file, name, short};
use super::*;
use crate::budget::Refusal;
use crate::disk::{DiskReason, SystemCall};

#[test]
fn a_disk_that_refuses_keeps_the_old_file_and_recovers_by_itself() {
    for (call, errno, reason) in [
        (SystemCall::Write, Errno::NOSPC, DiskReason::DiskFull),
        (SystemCall::Create, Errno::NOSPC, DiskReason::DiskFull),
        (SystemCall::Write, Errno::DQUOT, DiskReason::QuotaExceeded),
        (SystemCall::Create, Errno::ROFS, DiskReason::ReadOnly),
        (SystemCall::Create, Errno::ACCESS, DiskReason::PermissionDenied),
        (SystemCall::Rename, Errno::PERM, DiskReason::PermissionDenied),
        (SystemCall::Sync, Errno::IO, DiskReason::Io),
        (SystemCall::Create, Errno::MFILE, DiskReason::Io),
    ] {
        let mut fixture = KeeperFixture::with(&[("a", "one")]);
        fixture.script.fail(call, errno);
        let pass = fixture.apply("a", "two");
        assert!(pass.changed && pass.failed);
        assert_eq!(fixture.problem(), (ProblemKind::Failed, reason.as_str().into()), "{call} {errno}");
        assert_eq!(fixture.reported(), [("a".into(), short("one"))]);
        let again = Pass { changed: false, failed: true, events: vec![DiskEvent::Failed(reason)] };
        assert_eq!(fixture.retry(), again, "nothing new to report");
        fixture.script.calm();
        assert!(fixture.retry().changed);
        assert_eq!(fixture.keeper.report().problems, []);
        assert_eq!(fixture.read("a.json").as_deref(), Some("two"));
    }
}

#[test]
fn a_new_profile_is_not_written_before_the_ledger_knows() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.on(
        |call, name| {
            if call == SystemCall::Rename && name == LEDGER { Err(Errno::ROFS) } else { Ok(()) }
        },
    );
    fixture.set_goal("a", file("two"));
    fixture.apply("b", "one");
    assert_eq!(fixture.problem(), (ProblemKind::Failed, "ReadOnly".into()));
    assert_eq!(fixture.read("b.json"), None);
    assert_eq!(fixture.read("a.json").as_deref(), Some("two"), "what is ours already goes on");
    fixture.script.calm();
    fixture.retry();
    assert_eq!(fixture.read("b.json").as_deref(), Some("one"));
}

#[test]
fn a_directory_that_cannot_be_flushed_is_a_problem_until_it_can() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.fail(SystemCall::SyncDirectory, Errno::IO);
    fixture.apply("a", "two");
    assert_eq!(fixture.problem(), (ProblemKind::Failed, "Io".into()));
    fixture.retry();
    assert_eq!(fixture.problem(), (ProblemKind::Failed, "Io".into()));
    fixture.script.calm();
    fixture.retry();
    assert_eq!(fixture.keeper.report().problems, []);
    assert!(fixture.script.count(SystemCall::SyncDirectory) > 0);
}

#[test]
fn leftovers_go_only_after_a_complete_list_and_only_if_they_are_ours() {
    let mut fixture = KeeperFixture::with(&[("a", "one"), ("b", "one")]);
    fs::write(fixture.path("theirs.json"), "x").unwrap();
    fixture.restart_unlisted();
    fixture.set_goal("a", file("one"));
    fixture.sync();
    fixture.check();
    fixture.retry();
    assert_eq!(fixture.read("b.json").as_deref(), Some("one"));
    fixture.keeper.list_complete();
    fixture.sync();
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
    assert_eq!(fixture.read("b.json"), None);
    assert_eq!(fixture.read("theirs.json").as_deref(), Some("x"));
    assert_eq!(fixture.reported(), [("a".into(), short("one"))]);
}

#[test]
fn a_restart_changes_nothing_and_repairs_what_happened_meanwhile() {
    let mut fixture = KeeperFixture::with(&[("a", "one"), ("b", "one")]);
    let inode = fs::metadata(fixture.path("a.json")).unwrap().ino();
    fs::write(fixture.path("b.json"), "evil").unwrap();
    fixture.restart(&[("a", "one"), ("b", "one")]);
    assert_eq!(fs::metadata(fixture.path("a.json")).unwrap().ino(), inode);
    assert_eq!(fixture.read("b.json").as_deref(), Some("one"));
}

#[test]
fn a_ledger_that_cannot_be_used_is_kept_and_nothing_is_touched() {
    for (bytes, reason) in
        [(r#"{"version":2,"files":{}}"#, "LedgerTooNew"), (r#"{"version":1,"wri"#, "LedgerUnreadable")]
    {
        let mut fixture = KeeperFixture::with(&[("a", "one"), ("b", "one"), ("c", "one")]);
        fixture.restart_unlisted();
        fs::write(fixture.path(LEDGER), bytes).unwrap();
        fixture.restart(&[("a", "one"), ("b", "two")]);
        fixture.retry();
        fixture.check();
        assert_eq!(fixture.read(LEDGER).as_deref(), Some(bytes));
        assert_eq!(fixture.problem(), (ProblemKind::Failed, reason.into()));
        assert_eq!(fixture.keeper.report().problems[0].name, "b");
        for file in ["a.json", "b.json", "c.json"] {
            assert_eq!(fixture.read(file).as_deref(), Some("one"));
        }
        assert_eq!(fixture.reported().len(), 2, "what is there is reported: a is right, b is old");
        // An administrator removes it: files with the right bytes are adopted, the others belong to no one.
        fs::remove_file(fixture.path(LEDGER)).unwrap();
        fixture.retry();
        assert_eq!(fixture.ledger().claim(&name("a")), Some(Claim::Written));
        assert_eq!(fixture.problem(), (ProblemKind::Conflict, "NotOurs".into()));
    }
}

#[test]
fn a_newer_ledger_that_appears_under_the_running_agent_is_kept_and_nothing_is_touched() {
    const NEWER: &str = r#"{"version":2,"files":{}}"#;
    // Seen by an event, by the full check, or not before the next write of the ledger.
    for look in [
        |fixture: &mut KeeperFixture| fixture.touch(LEDGER),
        KeeperFixture::check,
        |fixture: &mut KeeperFixture| fixture.apply("c", "one"),
    ] {
        let mut fixture = KeeperFixture::with(&[("a", "one"), ("b", "one")]);
        fs::write(fixture.path(LEDGER), NEWER).unwrap();
        look(&mut fixture);
        fixture.delete("b");
        fixture.apply("a", "two");
        fixture.retry();
        fixture.check();
        assert_eq!(fixture.read(LEDGER).as_deref(), Some(NEWER));
        assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
        assert_eq!(fixture.read("b.json").as_deref(), Some("one"));
        assert_eq!(fixture.read("c.json"), None);
        let problems = fixture.keeper.report().problems;
        assert!(problems.iter().all(|problem| problem.reason == "LedgerTooNew"), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.name == "a"));
    }
}

#[test]
fn a_ledger_without_room_is_not_made_larger_and_the_report_says_so() {
    let new = "b".repeat(240);
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.restart_unlisted();
    let mut full = fixture.ledger();
    let mut names = (0..).map(|number| name(&format!("{number:0>240}")));
    while full.add(&names.next().unwrap(), Claim::Written).is_ok() {}
    fs::write(fixture.path(LEDGER), full.to_bytes()).unwrap();
    fixture.restart_unlisted();
    for (profile, bytes) in [("a", "two"), (new.as_str(), "one")] {
        fixture.set_goal(profile, file(bytes));
    }
    fixture.sync();
    assert_eq!(fixture.problem(), (ProblemKind::Failed, "LedgerFull".into()));
    assert_eq!(fixture.keeper.report().problems[0].name, new);
    assert_eq!(fixture.read(&format!("{new}.json")), None);
    assert_eq!(fixture.read("a.json").as_deref(), Some("two"), "what has its place goes on");
    assert_eq!(fixture.ledger(), full);
    // The list is complete: what nobody wants any more makes room.
    fixture.keeper.list_complete();
    fixture.sync();
    fixture.retry();
    assert_eq!(fixture.read(&format!("{new}.json")).as_deref(), Some("one"));
    assert_eq!(fixture.keeper.report().problems, []);
    assert_eq!(fixture.ledger().names().count(), 2);
}

#[test]
fn a_ledger_changed_under_the_running_agent_is_written_again() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    let ledger = fixture.read(LEDGER);
    fs::write(fixture.path(LEDGER), "x").unwrap();
    fixture.touch(LEDGER);
    assert_eq!(fixture.read(LEDGER), ledger);
    fs::remove_file(fixture.path(LEDGER)).unwrap();
    fixture.check();
    assert_eq!(fixture.read(LEDGER), ledger);
}

#[test]
fn a_profile_that_there_is_no_room_for_keeps_its_file_and_stops_no_other() {
    let mut fixture = KeeperFixture::with(&[("a", "old"), ("b", "b")]);
    for profile in ["a", "new"] {
        fixture.set_goal(profile, Goal::OverBudget(Refusal::Memory { limit: 24 << 20 }));
    }
    fixture.sync();
    let report = fixture.keeper.report();
    let problems: Vec<_> =
        report.problems.iter().map(|it| (&*it.name, it.state.known(), &*it.reason)).collect();
    let failed = Some(ProblemKind::Failed);
    assert_eq!(problems, [("a", failed, "MemoryLimit"), ("new", failed, "MemoryLimit")]);
    // The operator compares the reported hash with the wanted one.
    assert_eq!(fixture.reported(), [("a".to_owned(), short("old")), ("b".to_owned(), short("b"))]);
    assert_eq!(fixture.read("a.json").unwrap(), "old");
    assert_eq!(fixture.read("new.json"), None);
    // A retry does not make room.
    fixture.script.log();
    fixture.retry();
    assert!(fixture.script.log().iter().all(|(_, name)| name != "new.json"));
    fixture.apply("a", "new");
    assert_eq!(fixture.read("a.json").unwrap(), "new");
    fixture.set_goal("new", Goal::Removal);
    fixture.sync();
    assert_eq!(fixture.keeper.report().problems, [], "the approval to remove it is enough");
}

#[test]
fn an_invalid_profile_keeps_its_file_and_stops_no_other() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    let rejected = || Goal::Rejected { reason: "InvalidProfile", message: "spec.contents: wrong".into() };
    fixture.set_goal("a", rejected());
    fixture.apply("b", "one");
    assert_eq!(fixture.problem(), (ProblemKind::Rejected, "InvalidProfile".into()));
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
    assert_eq!(fixture.reported(), [("a".into(), short("one")), ("b".into(), short("one"))]);
    assert!(!fixture.retry().failed, "a retry does not help; its author must correct it");
    fixture.restart_unlisted();
    fixture.set_goal("a", rejected());
    fixture.keeper.list_complete();
    fixture.sync();
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
    assert_eq!(fixture.read("b.json"), None);
    assert!(fixture.apply("a", "two").changed);
    assert_eq!(fixture.read("a.json").as_deref(), Some("two"));
    assert_eq!(fixture.keeper.report().problems, []);
}

#[test]
fn a_forbidden_listener_profile_keeps_its_existing_file_and_says_why() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    let rejected = || Goal::Rejected { reason: "ListenersDisabled", message: "/run/a.sock".into() };
    fixture.set_goal("a", rejected());
    fixture.sync();
    assert_eq!(fixture.problem(), (ProblemKind::Rejected, "ListenersDisabled".into()));
    assert_eq!(fixture.read("a.json").as_deref(), Some("one"));
    // As an agent that is restarted because listeners were turned off, and whose file was removed meanwhile.
    fixture.restart_unlisted();
    fs::remove_file(fixture.path("a.json")).unwrap();
    fixture.set_goal("a", rejected());
    fixture.keeper.list_complete();
    fixture.sync();
    assert_eq!(fixture.problem(), (ProblemKind::Rejected, "ListenersDisabled".into()));
    assert_eq!(fixture.read("a.json"), None);
}

#[test]
fn a_name_that_no_file_can_have_is_reported() {
    let mut fixture = KeeperFixture::with(&[]);
    fixture.keeper.set_misnamed("../../etc/passwd".into(), Some("is no file name".into()));
    assert!(fixture.sync().changed);
    assert_eq!(fixture.problem(), (ProblemKind::Rejected, "InvalidProfile".into()));
    fixture.keeper.set_misnamed("../../etc/passwd".into(), None);
    assert!(fixture.sync().changed);
    assert_eq!(fixture.keeper.report().problems, []);
}

#[test]
fn the_approval_to_remove_ends_the_report_on_the_file_whether_or_not_it_was_ours() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fs::write(fixture.path("b.json"), "theirs").unwrap();
    fixture.apply("b", "one");
    for profile in ["a", "b"] {
        fixture.set_goal(profile, Goal::Removal);
    }
    assert!(fixture.sync().changed);
    assert_eq!(fixture.read("a.json"), None);
    assert_eq!(fixture.read("b.json").as_deref(), Some("theirs"));
    assert_eq!(fixture.reported(), []);
    assert_eq!(fixture.keeper.report().problems, []);
}

#[test]
fn a_file_that_cannot_be_removed_is_reported_and_tried_again() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.fail(SystemCall::Unlink, Errno::PERM);
    fixture.delete("a");
    assert_eq!(fixture.problem(), (ProblemKind::Failed, "PermissionDenied".into()));
    assert_eq!(fixture.reported(), [("a".into(), short("one"))]);
    fixture.script.calm();
    fixture.retry();
    assert_eq!(fixture.read("a.json"), None);
    assert_eq!(fixture.keeper.report().problems, []);
    assert_eq!(fixture.ledger(), Ledger::default());
}

#[test]
fn a_profile_recreated_while_its_removal_fails_converges_on_the_new_bytes() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fixture.script.fail(SystemCall::Unlink, Errno::PERM);
    fixture.delete("a");
    fixture.script.calm();
    fixture.apply("a", "two");
    fixture.retry();
    assert_eq!(fixture.read("a.json").as_deref(), Some("two"));
    assert_eq!(fixture.reported(), [("a".into(), short("two"))]);
    assert_eq!(fixture.keeper.report().problems, []);
}

#[test]
fn a_directory_that_was_replaced_ends_the_keeper() {
    let mut fixture = KeeperFixture::with(&[("a", "one")]);
    fs::rename(fixture.path(""), fixture.root.path().join("aside")).unwrap();
    fs::create_dir(fixture.path("")).unwrap();
    let why = fixture.keeper.retry().unwrap_err();
    let report = fixture.keeper.directory_lost(why).report;
    assert_eq!(report.files.len(), 0, "the runtime sees none of them");
    let [problem] = report.problems.as_slice() else { panic!("{report:?}") };
    assert_eq!((problem.name.as_str(), &problem.state), ("a", &ProblemKind::Failed.into()));
    assert_eq!(problem.reason, "DirectoryLost");
    assert!(problem.message.contains("was replaced"), "{}", problem.message);
}
