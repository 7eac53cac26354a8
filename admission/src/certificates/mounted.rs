//! Follows the certificate that another program renews in a directory: `tls.crt` and `tls.key`, as a Secret of the type
//! `kubernetes.io/tls` is mounted.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use daemon::{Changeable, metrics};
use link::chain;
use rustls::pki_types::ServerName;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::bundle::Bundle;
use super::clock::UnixTime;
use super::configuration::Configuration;
use super::given::{Given, GivenError, choose};
use super::keeper::changed;
use super::served::Served;
use crate::metrics::Metrics;

/// How often the files are read. The kubelet brings new contents of a Secret a minute late, and nobody tells of it.
const POLL: Duration = Duration::from_secs(5);

/// Why there is no certificate in the directory.
#[derive(Debug, thiserror::Error)]
enum FilesError {
    #[error("{}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Given(#[from] GivenError),
}

/// Gives new connections the certificate in a directory.
#[derive(Debug)]
pub struct Mounted {
    /// The directory.
    pub directory: PathBuf,
    /// The names by which the API server reaches this program.
    pub names: Vec<ServerName<'static>>,
    /// How long the API server must have trusted the certificate, as far as this process has seen, before it is ready: each
    /// of several API servers learns of it at another moment.
    pub settle: Duration,
    /// What new connections get.
    pub served: Served,
    /// The part of the readiness that says whether the API server trusts this replica.
    pub trusted: Changeable,
    /// What is measured.
    pub metrics: Metrics,
}

/// What is known of the files.
#[derive(Debug, Default)]
struct State {
    files: Option<[Vec<u8>; 2]>,
    newest: Option<Given>,
    present: Option<Given>,
    /// What the decision rests on that was made last.
    bundle: Bundle,
    expires: Option<UnixTime>,
    verdict: Option<Verdict>,
    trusted_since: Option<Instant>,
    has_begun: bool,
}

/// What new connections get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The newest certificate, which the API server trusts.
    Newest,
    /// The one before, because it does not trust the newest.
    Before,
    /// The newest, which it does not trust, nor the one before.
    Untrusted,
}

impl Verdict {
    fn log(self, expires: Option<UnixTime>) {
        let expires = expires.map(|expires| expires.0);
        match self {
            Self::Newest => info!(expires, "a certificate that the API server trusts is in use"),
            Self::Before => info!(
                expires,
                "the API server does not trust the newest certificate yet: the one before stays in use"
            ),
            Self::Untrusted => warn!("the API server does not trust the certificate"),
        }
    }
}

impl Mounted {
    /// Follows the files for ever. The views are the webhook configurations, as they have been seen: another program writes
    /// the authority into them. The second one is that about pods, if there is one.
    pub async fn run(
        self,
        mut view: watch::Receiver<Option<Configuration>>,
        mut second: Option<watch::Receiver<Option<Configuration>>>,
    ) {
        let mut state = State::default();
        let mut failure = String::new();
        loop {
            let failed = self.read(&mut state).err().map(|error| chain(&error)).unwrap_or_default();
            if failed != failure {
                // Once for each failure: the files are read often.
                warn!(error = failed, "the certificate in the directory cannot be used");
                failure = failed;
            }
            let bundle = common(
                view.borrow_and_update().as_ref(),
                second.as_mut().map(|it| it.borrow_and_update().clone()),
            );
            let pause = self.serve(&mut state, &bundle);
            tokio::select! {
                () = sleep(pause) => {}
                Ok(()) = view.changed() => {}
                () = changed(second.as_mut()) => {}
            }
        }
    }

    /// Reads the files, if they have changed.
    fn read(&self, state: &mut State) -> Result<(), FilesError> {
        let read = |name: &str| {
            let path = self.directory.join(name);
            fs::read(&path).map_err(|error| FilesError::Read { path, error })
        };
        let files = [read("tls.crt")?, read("tls.key")?];
        if state.files.as_ref() != Some(&files) {
            // The two may be of different moments; the next look finds them whole.
            state.newest = Some(Given::read(&files[0], &files[1])?);
            state.files = Some(files);
            state.expires = None;
        }
        Ok(())
    }

    /// Gives new connections what the API server trusts; returns how long nothing is to be done.
    fn serve(&self, state: &mut State, bundle: &Bundle) -> Duration {
        let now = UnixTime(metrics::now() as i64);
        let Some(newest) = &state.newest else { return POLL };
        let is_known = state.bundle == *bundle && state.expires.is_some_and(|expires| now < expires);
        if !is_known {
            let (chosen, expires) =
                choose(newest, state.present.as_ref(), |given| given.trusted_until(bundle, &self.names, now));
            let verdict = match expires {
                None => Verdict::Untrusted,
                Some(_) if chosen.is(newest) => Verdict::Newest,
                Some(_) => Verdict::Before,
            };
            let is_another = state.present.as_ref().is_none_or(|present| !present.is(chosen));
            if is_another || state.verdict != Some(verdict) {
                verdict.log(expires);
                state.verdict = Some(verdict);
            }
            self.served.give(chosen.certified());
            state.present = Some(chosen.clone());
            state.expires = expires;
            state.bundle = bundle.clone();
        }
        match state.expires {
            Some(_) => drop(state.trusted_since.get_or_insert_with(Instant::now)),
            None => state.trusted_since = None,
        }
        let settled = state.trusted_since.map(|since| self.settle.saturating_sub(since.elapsed()));
        state.has_begun |= settled.is_some_and(|remaining| remaining.is_zero());
        let is_ready = state.has_begun && state.expires.is_some();
        self.trusted.set(is_ready);
        self.metrics.trusted(is_ready, state.expires);
        settled.filter(|remaining| !remaining.is_zero()).unwrap_or(POLL).min(POLL)
    }
}

/// The authorities by which the API server trusts every webhook.
fn common(first: Option<&Configuration>, second: Option<Option<Configuration>>) -> Bundle {
    let Some(first) = first else { return Bundle::default() };
    let bundle = first.common_with(&first.bundle());
    match second {
        None => bundle,
        Some(None) => Bundle::default(),
        Some(Some(second)) => second.common_with(&bundle),
    }
}
