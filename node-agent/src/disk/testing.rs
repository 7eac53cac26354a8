//! For tests: a log of all system calls, and faults by script.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustix::io::Errno;

use super::{Faults, SystemCall};

type Hook = Box<dyn FnMut(SystemCall, &str) -> Result<(), Errno> + Send>;

/// Logs every system call and asks a hook before each.
#[derive(Clone, Default)]
pub(crate) struct Script(Arc<Mutex<State>>, Arc<Mutex<Option<SystemTime>>>);

#[derive(Default)]
struct State {
    log: Vec<(SystemCall, String)>,
    hook: Option<Hook>,
}

impl Script {
    /// From now on `hook` is asked before each call.
    pub(crate) fn on(&self, hook: impl FnMut(SystemCall, &str) -> Result<(), Errno> + Send + 'static) {
        self.0.lock().unwrap().hook = Some(Box::new(hook));
    }

    /// No more faults.
    pub(crate) fn calm(&self) {
        self.0.lock().unwrap().hook = None;
    }

    /// Every `call` fails with `errno`.
    pub(crate) fn fail(&self, call: SystemCall, errno: Errno) {
        self.on(move |tried, _| if tried == call { Err(errno) } else { Ok(()) });
    }

    /// No call from the `n`th on is made, as if the process had been killed before it. Tells whether one was left
    /// out.
    pub(crate) fn crash_at(&self, n: usize) -> impl Fn() -> bool + use<> {
        let made = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&made);
        self.on(move |_, _| {
            let mut made = made.lock().unwrap();
            *made += 1;
            if *made > n { Err(Errno::IO) } else { Ok(()) }
        });
        move || *seen.lock().unwrap() > n
    }

    /// From now on the node's clock shows this time. A hook may set it.
    pub(crate) fn set_clock(&self, now: SystemTime) {
        *self.1.lock().unwrap() = Some(now);
    }

    /// The calls since the last time.
    pub(crate) fn log(&self) -> Vec<(SystemCall, String)> {
        std::mem::take(&mut self.0.lock().unwrap().log)
    }

    /// How many of the calls since the last time were of one kind.
    pub(crate) fn count(&self, call: SystemCall) -> usize {
        self.log().iter().filter(|(made, _)| *made == call).count()
    }
}

impl Faults for Script {
    fn before(&mut self, call: SystemCall, name: &str) -> Result<(), Errno> {
        // The hook may look at the directory, but not at this script.
        let mut state = self.0.lock().unwrap();
        state.log.push((call, name.to_owned()));
        state.hook.as_mut().map_or(Ok(()), |hook| hook(call, name))
    }

    #[expect(clippy::disallowed_methods, reason = "as without a script")]
    fn now(&mut self) -> SystemTime {
        self.1.lock().unwrap().unwrap_or_else(SystemTime::now)
    }
}
