//! Answers one request, within limits of size and time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, info};

use crate::images::admit::{Forms, Images};
use crate::metrics::{Metrics, Outcome};
use crate::review::{Question, Verdict};
use crate::warn::{self, Settings};

/// The path of the questions about SeccompProfiles, as the webhook configuration has it.
pub const PROFILES: &str = "/profiles";

/// The path of the questions about pods.
pub const PODS: &str = "/pods";

/// The path of the questions about pods of namespaces whose PodSecurity permits every type of profile.
pub const ARTIFACTS: &str = "/pods/artifacts";

/// The path of the questions about objects with a template of pods.
pub const TEMPLATES: &str = "/templates";

/// The longest body in bytes. The API server accepts requests of 3 MiB (k8s.io/apiserver 0.37.2,
/// `pkg/server/config.go`), and an update comes with the old object, which fits into etcd's 1.5 MiB.
pub const LONGEST_BODY: usize = 5 * 1024 * 1024;

/// How long a body may take to arrive.
const READ: Duration = Duration::from_secs(2);

/// How long a check may take. With [`READ`] it is less than the `timeoutSeconds` of the webhook configuration, so that
/// the client gets an answer from here.
const CHECK: Duration = Duration::from_secs(2);

/// How many bodies are in memory at once.
const BODIES: usize = 8;

/// How many profiles are checked at once.
const CHECKS: usize = 2;

/// Answers requests.
#[derive(Debug)]
pub struct Handler {
    settings: Settings,
    /// Without it, there are no answers about pods.
    images: Option<Images>,
    metrics: Metrics,
    bodies: Semaphore,
    checks: Arc<Semaphore>,
}

impl Handler {
    /// A handler with these settings.
    #[must_use]
    pub fn new(settings: Settings, images: Option<Images>, metrics: Metrics) -> Self {
        Self {
            settings,
            images,
            metrics,
            bodies: Semaphore::new(BODIES),
            checks: Arc::new(Semaphore::new(CHECKS)),
        }
    }

    /// The answer to a request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        match self.question(request).await {
            Ok((About::Profile, question)) => {
                let (verdict, outcome) = self.verdict(question.spec).await;
                self.metrics.requests.of(outcome).inc();
                json(&verdict.answer(&question.uid))
            }
            Ok((about @ (About::Pod(images, _) | About::Template(images)), question)) => {
                let verdict = match about {
                    About::Pod(_, forms) => images.verdict(&question, forms).await,
                    _ => images.template_verdict(&question).await,
                };
                let outcome = outcome(&verdict);
                self.metrics.requests.of(outcome).inc();
                json(&verdict.answer(&question.uid))
            }
            Err((status, why)) => {
                self.metrics.requests.of(Outcome::Unreadable).inc();
                debug!(%status, why, "a request that is no question of the API server");
                text(status, format!("{why}\n"))
            }
        }
    }

    /// The question in a request, and what it is about.
    async fn question<B>(&self, request: Request<B>) -> Result<(About<'_>, Question), (StatusCode, String)>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let about = match (request.uri().path(), &self.images) {
            (PROFILES, _) => About::Profile,
            (PODS, Some(images)) => About::Pod(images, Forms::Files),
            (ARTIFACTS, Some(images)) => About::Pod(images, Forms::All),
            (TEMPLATES, Some(images)) => About::Template(images),
            _ => return Err((StatusCode::NOT_FOUND, "nothing is answered at this path".to_owned())),
        };
        if request.method() != Method::POST {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "the method is not POST".to_owned()));
        }
        let late = |_| (StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {READ:?}"));
        let read = async {
            let _permit = self.bodies.acquire().await;
            let body = Limited::new(request.into_body(), LONGEST_BODY).collect().await;
            let body = body.map_err(|error| (StatusCode::PAYLOAD_TOO_LARGE, format!("body: {error}")))?;
            let question = match about {
                About::Profile => Question::parse(&body.to_bytes()),
                About::Pod(..) | About::Template(_) => Question::parse_with_old(&body.to_bytes()),
            };
            question.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
        };
        let question = timeout(READ, read).await.map_err(late)??;
        Ok((about, question))
    }

    /// The verdict about a profile, and what is counted.
    async fn verdict(&self, spec: Option<Value>) -> (Verdict, Outcome) {
        let Some(spec) = spec else { return (Verdict::default(), Outcome::Allowed) };
        let (settings, checks) = (self.settings, Arc::clone(&self.checks));
        let check = async move {
            let permit = checks.acquire_owned().await.ok()?;
            let checked = tokio::task::spawn_blocking(move || {
                let verdict = warn::verdict(&spec, settings);
                // Not before: a check that is not awaited any more still uses a processor.
                drop(permit);
                verdict
            });
            checked.await.ok()
        };
        match timeout(CHECK, check).await {
            Ok(Some(verdict)) => {
                let outcome = outcome(&verdict);
                (verdict, outcome)
            }
            Ok(None) | Err(_) => {
                info!(limit = ?CHECK, "a profile was allowed without a check, which took too long");
                let warning = "the profile was not checked, which took too long: see kubectl seccomp lint";
                (Verdict { warnings: vec![warning.to_owned()], ..Verdict::default() }, Outcome::Late)
            }
        }
    }
}

/// What a question is about.
#[derive(Debug, Clone, Copy)]
enum About<'a> {
    Profile,
    Pod(&'a Images, Forms),
    Template(&'a Images),
}

/// What is counted of a verdict that was reached in time.
fn outcome(verdict: &Verdict) -> Outcome {
    match (&verdict.refusal, &verdict.warnings[..]) {
        (Some(_), _) => Outcome::Refused,
        (None, []) => Outcome::Allowed,
        (None, _) => Outcome::Warned,
    }
}

fn json(value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    // The rest of the body would have to be read before the next request.
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use serde_json::json;

    use super::*;

    fn handler() -> Handler {
        Handler::new(Settings { refuse_errors: true }, None, Metrics::new(&Registry::new(), &[]).unwrap())
    }

    async fn ask(handler: &Handler, method: Method, path: &str, body: Vec<u8>) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).body(Full::from(body)).unwrap();
        let answer = handler.answer(request).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    fn question(contents: &Value) -> Vec<u8> {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": { "uid": "u", "object": { "spec": { "contents": contents } } },
        })
        .to_string()
        .into_bytes()
    }

    #[tokio::test]
    async fn a_question_is_answered_and_counted_by_its_outcome() {
        let handler = handler();
        let bad = json!({ "defaultAction": "SCMP_ACT_EAT" });
        let (status, answer) = ask(&handler, Method::POST, PROFILES, question(&bad)).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            (status, &answer["response"]["allowed"], &answer["response"]["uid"]),
            (200, &json!(false), &json!("u"))
        );
        assert_eq!(handler.metrics.requests.of(Outcome::Refused).get(), 1);
    }

    #[tokio::test]
    async fn whatever_is_no_question_gets_an_error_and_is_counted() {
        let handler = handler();
        let long = vec![b' '; LONGEST_BODY + 1];
        for (method, path, body, status) in [
            (Method::POST, "/", question(&json!({})), 404),
            (Method::POST, PODS, question(&json!({})), 404),
            (Method::GET, PROFILES, vec![], 405),
            (Method::POST, PROFILES, b"{".to_vec(), 400),
            (Method::POST, PROFILES, long, 413),
        ] {
            assert_eq!(ask(&handler, method, path, body).await.0, status, "{path}");
        }
        assert_eq!(handler.metrics.requests.of(Outcome::Unreadable).get(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_takes_too_long_lets_the_profile_pass_with_a_warning() {
        let handler = handler();
        let _busy = handler.checks.acquire_many(CHECKS as u32).await.unwrap();
        let (_, answer) = ask(&handler, Method::POST, PROFILES, question(&json!({}))).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["response"]["allowed"], true);
        assert!(answer["response"]["warnings"][0].as_str().unwrap().contains("not checked"), "{answer}");
        assert_eq!(handler.metrics.requests.of(Outcome::Late).get(), 1);
    }
}
