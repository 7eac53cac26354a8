//! The kernel's news of processes (`linux/cn_proc.h`), as they are sent to a netlink multicast group.

/// The id of the connector's messages about processes: `CN_IDX_PROC`, `CN_VAL_PROC`.
const ID: [u8; 8] = {
    let [a, b, c, d] = 1_u32.to_ne_bytes();
    [a, b, c, d, a, b, c, d]
};

/// The length of `struct cn_msg`: id, sequence, acknowledged, length of what follows, flags.
const HEADER: usize = 20;

/// `PROC_EVENT_NONE`, which the kernel's answer to a request has, `PROC_EVENT_FORK` and `PROC_EVENT_EXEC`.
const NONE: u32 = 0;
const FORK: u32 = 1;
const EXEC: u32 = 2;

/// What became of a process. Numbers are those of the machine's first PID namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessEvent {
    /// It was started. A new thread of a process is no event here.
    Started {
        /// Whose child it is: with `CLONE_PARENT`, that of the parent of the process that started it.
        parent: u32,
        /// Its number.
        process: u32,
        /// When, in nanoseconds of the clock `CLOCK_MONOTONIC`.
        time: u64,
    },
    /// It runs another program now.
    Executed {
        /// Its number.
        process: u32,
        /// When, in nanoseconds of the clock `CLOCK_MONOTONIC`.
        time: u64,
    },
}

impl ProcessEvent {
    /// What the payload of a netlink message of the connector says; nothing if it is about something else.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        // struct proc_event: what, processor, time, and what depends on the kind.
        let event = event(payload)?;
        let time = u64::from_ne_bytes(event.get(8..16)?.try_into().ok()?);
        match word(event, 0)? {
            FORK => {
                let (parent, thread, process) = (word(event, 20)?, word(event, 24)?, word(event, 28)?);
                (thread == process).then_some(Self::Started { parent, process, time })
            }
            EXEC => Some(Self::Executed { process: word(event, 20)?, time }),
            _ => None,
        }
    }
}

/// The `struct proc_event` in a message of the connector, if it is about processes.
fn event(payload: &[u8]) -> Option<&[u8]> {
    if payload.get(..ID.len())? != ID {
        return None;
    }
    payload.get(HEADER..)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Which events a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedEvents {
    /// All, among them the kernel's answer to the request, which a filter would drop as well (`cn_filter` of the kernel).
    All,
    /// Those that [`ProcessEvent`] has.
    StartsAndPrograms,
}

/// The payload of a netlink message that asks the kernel for these events (`struct proc_input`, since Linux 6.6, which is
/// also the first that asks for no capability). The [`answer_to_request`] to it has the number.
#[must_use]
pub fn ask_for_process_events(wanted: WantedEvents, number: u32) -> Vec<u8> {
    /// `PROC_CN_MCAST_LISTEN`.
    const LISTEN: u32 = 1;
    let events = match wanted {
        // `PROC_EVENT_ALL`, as the kernel reads it.
        WantedEvents::All => 0,
        WantedEvents::StartsAndPrograms => FORK | EXEC,
    };
    let input = [LISTEN, events];
    let mut message = ID.to_vec();
    // The sequence, which the answer does not have, and the number that it has, plus one.
    message.extend([0; 4]);
    message.extend(number.to_ne_bytes());
    message.extend((size_of_val(&input) as u16).to_ne_bytes());
    message.extend([0; 2]);
    message.extend(input.into_iter().flat_map(u32::to_ne_bytes));
    message
}

/// What the payload of a netlink message of the connector answers to the request with this number: 0, or the kernel's
/// error. Nothing if it is something else: every member of the group gets all answers.
#[must_use]
pub fn answer_to_request(payload: &[u8], number: u32) -> Option<u32> {
    let event = event(payload)?;
    let is_answer = word(event, 0)? == NONE && word(payload, 12)? == number.wrapping_add(1);
    is_answer.then(|| word(event, 16)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(words: &[u32]) -> Vec<u8> {
        let mut bytes = ID.to_vec();
        bytes.extend([0; 12]);
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }

    /// Of this kind at 2^32 + 7 ns.
    fn event(kind: u32, words: &[u32]) -> Option<ProcessEvent> {
        let time = (1_u64 << 32 | 7).to_ne_bytes();
        let [low, high] = [&time[..4], &time[4..]].map(|half| u32::from_ne_bytes(half.try_into().unwrap()));
        ProcessEvent::parse(&payload(&[&[kind, 0, low, high], words].concat()))
    }

    const TIME: u64 = (1 << 32) + 7;

    #[test]
    fn a_new_process_and_another_program_are_read_and_threads_are_not() {
        let started = ProcessEvent::Started { parent: 41, process: 52, time: TIME };
        assert_eq!(event(1, &[40, 41, 52, 52]), Some(started));
        assert_eq!(event(1, &[40, 41, 53, 52]), None, "a thread");
        assert_eq!(event(2, &[53, 52]), Some(ProcessEvent::Executed { process: 52, time: TIME }));
        assert_eq!(event(0x8000_0000, &[52, 52, 0, 17]), None, "an end");
    }

    #[test]
    fn what_is_cut_or_of_another_connector_is_nothing() {
        let whole = payload(&[1, 0, 7, 0, 40, 41, 52, 52]);
        assert!(ProcessEvent::parse(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(ProcessEvent::parse(&whole[..end]), None, "{end}");
        }
        for at in 0..ID.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_eq!(ProcessEvent::parse(&other), None);
        }
    }
    #[test]
    fn the_answer_to_a_request_is_told_from_those_to_others() {
        let answers = |number: u32, words: &[u32]| {
            let mut bytes = payload(words);
            bytes[12..16].copy_from_slice(&number.to_ne_bytes());
            bytes
        };
        let mine = answers(8, &[0, 3, 7, 0, 0]);
        assert_eq!(answer_to_request(&mine, 7), Some(0));
        assert_eq!(answer_to_request(&answers(8, &[0, 3, 7, 0, 12]), 7), Some(12), "ENOMEM");
        assert_eq!(answer_to_request(&answers(0, &[0, 3, 7, 0, 0]), u32::MAX), Some(0));
        assert_eq!(answer_to_request(&mine, 8), None, "somebody else's");
        assert_eq!(answer_to_request(&answers(8, &[1, 3, 7, 0, 40, 41, 52, 52]), 7), None, "an event");
        assert!((0..mine.len()).all(|end| answer_to_request(&mine[..end], 7).is_none()));
        assert_eq!(ProcessEvent::parse(&mine), None);
        // What is asked is no answer, either, and has the number at the same place.
        let asked = ask_for_process_events(WantedEvents::All, 7);
        assert_eq!((word(&asked, 12), answer_to_request(&asked, 7)), (Some(7), None));
    }
}
