//! Runs the command on a [`Server`], and answers its questions.

use std::cell::RefCell;
use std::time::Duration;

use clap::Parser;
use cli::error::CliError;
use cli::learn::workload::{Console, learn_from_workload};
use cli::options::{Options, Task};
use cli::show::Paint;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::time::Instant;
use tower_test::mock::Handle;

use super::server::Server;

/// The answers to whether it may learn, and whether the result is to be applied; `None` if nobody can answer.
pub(super) type Answers = [Option<bool>; 2];
pub(super) const NOBODY: Answers = [None; 2];
pub(super) const YES: Answers = [Some(true); 2];

/// Answers questions, and keeps what is said.
#[derive(Default)]
pub(super) struct Script {
    pub(super) answers: Answers,
    pub(super) profile: String,
    pub(super) said: String,
    pub(super) asked: Vec<String>,
    pub(super) progress: Vec<String>,
}

impl Console for Script {
    fn profile(&mut self, text: &str) -> Result<(), CliError> {
        self.profile += text;
        Ok(())
    }

    fn say(&mut self, text: &str) -> Result<(), CliError> {
        self.said += text;
        Ok(())
    }

    fn progress(&mut self, line: &str) -> Result<(), CliError> {
        self.progress.push(line.to_owned());
        Ok(())
    }

    async fn ask(&mut self, question: &str) -> Result<Option<bool>, CliError> {
        self.asked.push(question.to_owned());
        Ok(self.answers[usize::from(question.starts_with("Apply"))])
    }
}

/// Runs the command; time passes whenever nothing else happens. It is stopped after this time.
pub(super) async fn run(
    server: &RefCell<Server>,
    arguments: &[&str],
    answers: Answers,
    stop_after: Duration,
) -> (Result<bool, CliError>, Script) {
    let (service, mut handle): (_, Handle<Request<Body>, Response<Body>>) = tower_test::mock::pair();
    let client = Client::new(service, "shop");
    let begin = ["kubectl-seccomp", "learn", "web", "--workload", "deploy/web", "--runtime", "none"];
    let Task::Learn(args) = Options::try_parse_from(begin.iter().chain(arguments)).unwrap().task else {
        panic!("it is another command")
    };
    let mut script = Script { answers, ..Script::default() };
    let serve = async {
        while let Some((request, send)) = handle.next_request().await {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let query = parts.uri.query().unwrap_or_default();
            if server.borrow().cut == Some(0) {
                return std::future::pending().await;
            }
            let (status, answer) = server.borrow_mut().answer(&parts.method, parts.uri.path(), query, &body);
            let answer = Body::from(answer.to_string().into_bytes());
            send.send_response(Response::builder().status(status).body(answer).unwrap());
        }
    };
    let begun = Instant::now();
    let stopped = async || tokio::time::sleep_until(begun + stop_after).await;
    // A second interrupt would end the wait for the pods; here there is one.
    let first = std::cell::Cell::new(true);
    let stopped = async || if first.replace(false) { stopped().await } else { std::future::pending().await };
    let result = tokio::select! {
        () = serve => panic!("nobody asks any more"),
        result = learn_from_workload(&client, &args, Paint::Plain, &mut script, stopped) => result,
    };
    (result, script)
}

pub(super) const NEVER: Duration = Duration::from_secs(1_000_000);

pub(super) async fn learn(
    set: impl FnOnce(&mut Server),
    arguments: &[&str],
    answers: Answers,
) -> (Result<bool, CliError>, Script, Server) {
    let mut server = Server::new();
    set(&mut server);
    let server = RefCell::new(server);
    let (result, script) = run(&server, arguments, answers, NEVER).await;
    (result, script, server.into_inner())
}

pub(super) fn is_as_before(server: &Server) -> bool {
    server.workload["spec"] == server.before && !server.workload.to_string().contains("learning")
}

/// A run on this server with `--yes` and this option that was killed after some seconds.
pub(super) async fn killed(server: Server, option: &str, seconds: u64) -> RefCell<Server> {
    let (server, arguments) = (RefCell::new(server), ["--yes", option]);
    tokio::select! {
        _ = run(&server, &arguments, NOBODY, NEVER) => panic!("it ended"),
        () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
    }
    server.borrow_mut().changes.clear();
    server
}
