//! The keeper on a real directory: disks that refuse, restarts, ledgers and profiles that cannot be used.

use std::fs;
use std::os::unix::fs::MetadataExt;

use api::ProblemKind;
use rustix::io::Errno;

use super::testing::{World, file, name, short};
use super::*;
use crate::budget::Refusal;
use crate::disk::{DiskReason, SystemCall};

#[test]
fn a_disk_that_refuses_keeps_the_old_file_and_heals_by_itself() {
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
        let mut world = World::with(&[("a", "one")]);
        world.script.fail(call, errno);
        let pass = world.apply("a", "two");
        assert!(pass.changed && pass.failed);
        assert_eq!(world.problem(), (ProblemKind::Failed, reason.as_str().into()), "{call} {errno}");
        assert_eq!(world.reported(), [("a".into(), short("one"))]);
        let again = Pass { changed: false, failed: true, events: vec![DiskEvent::Failed(reason)] };
        assert_eq!(world.retry(), again, "nothing new to report");
        world.script.calm();
        assert!(world.retry().changed);
        assert_eq!(world.keeper.report().problems, []);
        assert_eq!(world.read("a.json").as_deref(), Some("two"));
    }
}

#[test]
fn a_new_profile_is_not_written_before_the_ledger_knows() {
    let mut world = World::with(&[("a", "one")]);
    world.script.on(
        |call, name| {
            if call == SystemCall::Rename && name == LEDGER { Err(Errno::ROFS) } else { Ok(()) }
        },
    );
    world.set_goal("a", file("two"));
    world.apply("b", "one");
    assert_eq!(world.problem(), (ProblemKind::Failed, "ReadOnly".into()));
    assert_eq!(world.read("b.json"), None);
    assert_eq!(world.read("a.json").as_deref(), Some("two"), "what is ours already goes on");
    world.script.calm();
    world.retry();
    assert_eq!(world.read("b.json").as_deref(), Some("one"));
}

#[test]
fn a_directory_that_cannot_be_flushed_is_a_problem_until_it_can() {
    let mut world = World::with(&[("a", "one")]);
    world.script.fail(SystemCall::SyncDirectory, Errno::IO);
    world.apply("a", "two");
    assert_eq!(world.problem(), (ProblemKind::Failed, "Io".into()));
    world.retry();
    assert_eq!(world.problem(), (ProblemKind::Failed, "Io".into()));
    world.script.calm();
    world.retry();
    assert_eq!(world.keeper.report().problems, []);
    assert!(world.script.count(SystemCall::SyncDirectory) > 0);
}

#[test]
fn leftovers_go_only_after_a_complete_list_and_only_if_they_are_ours() {
    let mut world = World::with(&[("a", "one"), ("b", "one")]);
    fs::write(world.path("theirs.json"), "x").unwrap();
    world.restart_unlisted();
    world.set_goal("a", file("one"));
    world.sync();
    world.check();
    world.retry();
    assert_eq!(world.read("b.json").as_deref(), Some("one"));
    world.keeper.list_complete();
    world.sync();
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.read("b.json"), None);
    assert_eq!(world.read("theirs.json").as_deref(), Some("x"));
    assert_eq!(world.reported(), [("a".into(), short("one"))]);
}

#[test]
fn a_restart_changes_nothing_and_repairs_what_happened_meanwhile() {
    let mut world = World::with(&[("a", "one"), ("b", "one")]);
    let inode = fs::metadata(world.path("a.json")).unwrap().ino();
    fs::write(world.path("b.json"), "evil").unwrap();
    world.restart(&[("a", "one"), ("b", "one")]);
    assert_eq!(fs::metadata(world.path("a.json")).unwrap().ino(), inode);
    assert_eq!(world.read("b.json").as_deref(), Some("one"));
}

#[test]
fn a_ledger_that_cannot_be_used_is_kept_and_nothing_is_touched() {
    for (bytes, reason) in
        [(r#"{"version":2,"files":{}}"#, "LedgerTooNew"), (r#"{"version":1,"wri"#, "LedgerUnreadable")]
    {
        let mut world = World::with(&[("a", "one"), ("b", "one"), ("c", "one")]);
        world.restart_unlisted();
        fs::write(world.path(LEDGER), bytes).unwrap();
        world.restart(&[("a", "one"), ("b", "two")]);
        world.retry();
        world.check();
        assert_eq!(world.read(LEDGER).as_deref(), Some(bytes));
        assert_eq!(world.problem(), (ProblemKind::Failed, reason.into()));
        assert_eq!(world.keeper.report().problems[0].name, "b");
        for file in ["a.json", "b.json", "c.json"] {
            assert_eq!(world.read(file).as_deref(), Some("one"));
        }
        assert_eq!(world.reported().len(), 2, "what lies there is reported: a is right, b is old");
        // The operator removes it: what has the right bytes is adopted, the rest is nobody's.
        fs::remove_file(world.path(LEDGER)).unwrap();
        world.retry();
        assert_eq!(world.ledger().claim(&name("a")), Some(Claim::Written));
        assert_eq!(world.problem(), (ProblemKind::Conflict, "NotOurs".into()));
    }
}

#[test]
fn a_newer_ledger_that_appears_under_the_running_agent_is_kept_and_nothing_is_touched() {
    const NEWER: &str = r#"{"version":2,"files":{}}"#;
    // Seen by an event, by the full check, or not before the next write of the ledger.
    for look in
        [|world: &mut World| world.touch(LEDGER), World::check, |world: &mut World| world.apply("c", "one")]
    {
        let mut world = World::with(&[("a", "one"), ("b", "one")]);
        fs::write(world.path(LEDGER), NEWER).unwrap();
        look(&mut world);
        world.delete("b");
        world.apply("a", "two");
        world.retry();
        world.check();
        assert_eq!(world.read(LEDGER).as_deref(), Some(NEWER));
        assert_eq!(world.read("a.json").as_deref(), Some("one"));
        assert_eq!(world.read("b.json").as_deref(), Some("one"));
        assert_eq!(world.read("c.json"), None);
        let problems = world.keeper.report().problems;
        assert!(problems.iter().all(|problem| problem.reason == "LedgerTooNew"), "{problems:?}");
        assert!(problems.iter().any(|problem| problem.name == "a"));
    }
}

#[test]
fn a_ledger_without_room_is_not_made_larger_and_the_report_says_so() {
    let new = "b".repeat(240);
    let mut world = World::with(&[("a", "one")]);
    world.restart_unlisted();
    let mut full = world.ledger();
    let mut names = (0..).map(|number| name(&format!("{number:0>240}")));
    while full.add(&names.next().unwrap(), Claim::Written).is_ok() {}
    fs::write(world.path(LEDGER), full.to_bytes()).unwrap();
    world.restart_unlisted();
    for (profile, bytes) in [("a", "two"), (new.as_str(), "one")] {
        world.set_goal(profile, file(bytes));
    }
    world.sync();
    assert_eq!(world.problem(), (ProblemKind::Failed, "LedgerFull".into()));
    assert_eq!(world.keeper.report().problems[0].name, new);
    assert_eq!(world.read(&format!("{new}.json")), None);
    assert_eq!(world.read("a.json").as_deref(), Some("two"), "what has its place goes on");
    assert_eq!(world.ledger(), full);
    // The list is complete: what nobody wants any more makes room.
    world.keeper.list_complete();
    world.sync();
    world.retry();
    assert_eq!(world.read(&format!("{new}.json")).as_deref(), Some("one"));
    assert_eq!(world.keeper.report().problems, []);
    assert_eq!(world.ledger().names().count(), 2);
}

#[test]
fn a_ledger_changed_under_the_running_agent_is_written_again() {
    let mut world = World::with(&[("a", "one")]);
    let ledger = world.read(LEDGER);
    fs::write(world.path(LEDGER), "x").unwrap();
    world.touch(LEDGER);
    assert_eq!(world.read(LEDGER), ledger);
    fs::remove_file(world.path(LEDGER)).unwrap();
    world.check();
    assert_eq!(world.read(LEDGER), ledger);
}

#[test]
fn a_profile_that_there_is_no_room_for_keeps_its_file_and_stops_no_other() {
    let mut world = World::with(&[("a", "old"), ("b", "b")]);
    for profile in ["a", "new"] {
        world.set_goal(profile, Goal::Refused(Refusal::Memory { limit: 24 << 20 }));
    }
    world.sync();
    let report = world.keeper.report();
    let problems: Vec<_> =
        report.problems.iter().map(|it| (&*it.name, it.state.known(), &*it.reason)).collect();
    let failed = Some(ProblemKind::Failed);
    assert_eq!(problems, [("a", failed, "MemoryLimit"), ("new", failed, "MemoryLimit")]);
    // The operator holds what lies there against what should.
    assert_eq!(world.reported(), [("a".to_owned(), short("old")), ("b".to_owned(), short("b"))]);
    assert_eq!(world.read("a.json").unwrap(), "old");
    assert_eq!(world.read("new.json"), None);
    // Trying does not make room.
    world.script.log();
    world.retry();
    assert!(world.script.log().iter().all(|(_, name)| name != "new.json"));
    world.apply("a", "new");
    assert_eq!(world.read("a.json").unwrap(), "new");
    world.set_goal("new", Goal::Removal);
    world.sync();
    assert_eq!(world.keeper.report().problems, [], "the approval to remove it is enough");
}

#[test]
fn an_invalid_profile_keeps_its_file_and_stops_no_other() {
    let mut world = World::with(&[("a", "one")]);
    let rejected = || Goal::Rejected { reason: "InvalidProfile", message: "spec.contents: wrong".into() };
    world.set_goal("a", rejected());
    world.apply("b", "one");
    assert_eq!(world.problem(), (ProblemKind::Rejected, "InvalidProfile".into()));
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.reported(), [("a".into(), short("one")), ("b".into(), short("one"))]);
    assert!(!world.retry().failed, "its author mends it, not trying");
    world.restart_unlisted();
    world.set_goal("a", rejected());
    world.keeper.list_complete();
    world.sync();
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    assert_eq!(world.read("b.json"), None);
    assert!(world.apply("a", "two").changed);
    assert_eq!(world.read("a.json").as_deref(), Some("two"));
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn a_profile_that_may_not_be_keeps_the_file_that_is_there_and_says_why() {
    let mut world = World::with(&[("a", "one")]);
    let rejected = || Goal::Rejected { reason: "ListenersDisabled", message: "/run/a.sock".into() };
    world.set_goal("a", rejected());
    world.sync();
    assert_eq!(world.problem(), (ProblemKind::Rejected, "ListenersDisabled".into()));
    assert_eq!(world.read("a.json").as_deref(), Some("one"));
    // As an agent that is restarted because listeners were turned off, and whose file was removed meanwhile.
    world.restart_unlisted();
    fs::remove_file(world.path("a.json")).unwrap();
    world.set_goal("a", rejected());
    world.keeper.list_complete();
    world.sync();
    assert_eq!(world.problem(), (ProblemKind::Rejected, "ListenersDisabled".into()));
    assert_eq!(world.read("a.json"), None);
}

#[test]
fn a_name_that_no_file_can_have_is_reported() {
    let mut world = World::with(&[]);
    world.keeper.set_misnamed("../../etc/passwd".into(), Some("is no file name".into()));
    assert!(world.sync().changed);
    assert_eq!(world.problem(), (ProblemKind::Rejected, "InvalidProfile".into()));
    world.keeper.set_misnamed("../../etc/passwd".into(), None);
    assert!(world.sync().changed);
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn the_approval_to_remove_ends_the_report_on_the_file_whether_or_not_it_was_ours() {
    let mut world = World::with(&[("a", "one")]);
    fs::write(world.path("b.json"), "theirs").unwrap();
    world.apply("b", "one");
    for profile in ["a", "b"] {
        world.set_goal(profile, Goal::Removal);
    }
    assert!(world.sync().changed);
    assert_eq!(world.read("a.json"), None);
    assert_eq!(world.read("b.json").as_deref(), Some("theirs"));
    assert_eq!(world.reported(), []);
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn a_file_that_cannot_be_removed_is_reported_and_tried_again() {
    let mut world = World::with(&[("a", "one")]);
    world.script.fail(SystemCall::Unlink, Errno::PERM);
    world.delete("a");
    assert_eq!(world.problem(), (ProblemKind::Failed, "PermissionDenied".into()));
    assert_eq!(world.reported(), [("a".into(), short("one"))]);
    world.script.calm();
    world.retry();
    assert_eq!(world.read("a.json"), None);
    assert_eq!(world.keeper.report().problems, []);
    assert_eq!(world.ledger(), Ledger::default());
}

#[test]
fn a_profile_recreated_while_its_removal_fails_converges_on_the_new_bytes() {
    let mut world = World::with(&[("a", "one")]);
    world.script.fail(SystemCall::Unlink, Errno::PERM);
    world.delete("a");
    world.script.calm();
    world.apply("a", "two");
    world.retry();
    assert_eq!(world.read("a.json").as_deref(), Some("two"));
    assert_eq!(world.reported(), [("a".into(), short("two"))]);
    assert_eq!(world.keeper.report().problems, []);
}

#[test]
fn a_directory_that_was_replaced_ends_the_keeper() {
    let mut world = World::with(&[("a", "one")]);
    fs::rename(world.path(""), world.root.path().join("aside")).unwrap();
    fs::create_dir(world.path("")).unwrap();
    let why = world.keeper.retry().unwrap_err();
    let report = world.keeper.directory_lost(why).report;
    assert_eq!(report.files.len(), 0, "the runtime sees none of them");
    let [problem] = report.problems.as_slice() else { panic!("{report:?}") };
    assert_eq!((problem.name.as_str(), &problem.state), ("a", &ProblemKind::Failed.into()));
    assert_eq!(problem.reason, "DirectoryLost");
    assert!(problem.message.contains("was replaced"), "{}", problem.message);
}
