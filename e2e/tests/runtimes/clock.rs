//! Questions for the time, which mostly are no calls.

use std::fs;

use serde_json::json;

use crate::container::{Options, Root, Start};
use crate::installed::Installed;
use crate::outcome::Outcome;

/// The clock that the kernel uses. With others than `tsc`, the vDSO may not be able to read it.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

#[test]
fn a_rule_for_clock_gettime_decides_only_about_clocks_that_the_vdso_does_not_read() {
    let source = fs::read_to_string(SOURCE).unwrap();
    if source.trim() != "tsc" {
        println!("nothing is compared, because the clock source is {source}");
        return;
    }
    let (root, runc) = (Root::of("clock.c", &[]), Installed::runc());
    let rule = json!({ "names": ["clock_gettime", "gettimeofday", "time"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5 });
    let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    // CLOCK_REALTIME, MONOTONIC, BOOTTIME and TAI; then CLOCK_PROCESS_CPUTIME_ID and REALTIME_ALARM.
    let clocks = ["0", "1", "7", "11", "gettimeofday", "time", "2", "8"].map(str::to_owned);
    let Start::Ran(printed) = root.start(&runc, Options::HARMLESS, Some(&profile), &clocks) else {
        panic!("no start")
    };
    let expected = [0, 0, 0, 0, 0, 0, -5, -5].map(Outcome::Returns);
    assert_eq!(Outcome::parse(&printed, clocks.len()).unwrap(), expected);
}
