//! The endpoints.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use prometheus::{Encoder, Registry, TextEncoder};
use warp::http::{Response, StatusCode};
use warp::{Filter, Reply};

use super::texts::Texts;
use crate::Readiness;

/// The three endpoints.
pub(super) fn routes(
    registry: Registry,
    readiness: Readiness,
) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let (texts, alive) = (Arc::new(Texts::default()), readiness.clone());
    let metrics = warp::path!("metrics").map(move || metrics(&texts, &registry));
    let healthz = warp::path!("healthz").map(move || healthz(&alive, Instant::now()));
    let readyz = warp::path!("readyz").map(move || readyz(&readiness, Instant::now()));
    warp::get().and(metrics.or(healthz).unify().or(readyz).unify())
}

fn healthz(readiness: &Readiness, now: Instant) -> Response<Bytes> {
    answer("not alive", &readiness.stuck(now))
}

fn readyz(readiness: &Readiness, now: Instant) -> Response<Bytes> {
    answer("not ready", &readiness.pending(now))
}

/// `ok`, or the list of problems.
fn answer(what: &str, why: &[String]) -> Response<Bytes> {
    match why {
        [] => text(StatusCode::OK, "ok\n".into()),
        why => text(StatusCode::SERVICE_UNAVAILABLE, format!("{what}: {}\n", why.join(", ")).into()),
    }
}

fn metrics(texts: &Texts, registry: &Registry) -> Response<Bytes> {
    match texts.of(registry) {
        Ok(body) => {
            let mut response = text(StatusCode::OK, body);
            if let Ok(kind) = TextEncoder::new().format_type().parse() {
                response.headers_mut().insert(warp::http::header::CONTENT_TYPE, kind);
            }
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n").into()),
    }
}

fn text(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get(path: &str, readiness: &Readiness) -> (StatusCode, String) {
        let registry = crate::metrics::registry("test", "1.2.3").unwrap();
        let request = warp::http::Request::get(path).body(String::new()).unwrap();
        let answer = warp::service(routes(registry, readiness.clone())).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn readyz_lists_pending_parts_and_healthz_ignores_them() {
        let readiness = Readiness::default();
        let nodes = readiness.part("nodes");
        assert_eq!(
            get("/readyz", &readiness).await,
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: nodes\n".into())
        );
        assert_eq!(get("/healthz", &readiness).await, (StatusCode::OK, "ok\n".into()));
        nodes.ready();
        assert_eq!(get("/readyz", &readiness).await, (StatusCode::OK, "ok\n".into()));
    }

    #[test]
    fn a_hanging_part_is_soon_not_ready_and_much_later_not_alive() {
        let readiness = Readiness::default();
        let disk = readiness.pulse("disk");
        disk.begins();
        let later = |seconds| {
            let now = Instant::now() + Duration::from_secs(seconds);
            [readyz(&readiness, now), healthz(&readiness, now)]
                .map(|answer| (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned()))
        };
        let ok = || (200, "ok\n".to_owned());
        assert_eq!(later(0), [ok(), ok()]);
        let [ready, alive] = later(90);
        assert_eq!(alive, ok());
        assert_eq!(ready, (503, "not ready: disk has done nothing for 90 s\n".to_owned()));
        let [_, alive] = later(601);
        assert_eq!(alive, (503, "not alive: disk has done nothing for 601 s\n".to_owned()));
        disk.ends();
        assert_eq!(later(6000), [ok(), ok()], "what has nothing to do does not hang");
    }

    #[tokio::test]
    async fn metrics_start_with_build_info() {
        let (status, body) = get("/metrics", &Readiness::default()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains(r#"seccomp_profile_build_info{component="test",version="1.2.3"} 1"#), "{body}");
    }
}
