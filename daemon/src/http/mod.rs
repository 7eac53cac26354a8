//! `/metrics`, `/healthz` and `/readyz`.

use std::io;
use std::net::SocketAddr;

use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;
use warp::http::{Response, StatusCode};
use warp::{Filter, Reply};

use crate::Readiness;

/// Why the endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Opens `address` and returns the server, to be awaited; it ends when `shutdown` does.
///
/// # Errors
/// The address cannot be opened.
pub async fn serve(
    address: SocketAddr,
    registry: Registry,
    readiness: Readiness,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<impl Future<Output = ()>, ListenError> {
    let listener = TcpListener::bind(address).await.map_err(|source| ListenError { address, source })?;
    Ok(warp::serve(routes(registry, readiness)).incoming(listener).graceful(shutdown).run())
}

/// The three endpoints.
fn routes(
    registry: Registry,
    readiness: Readiness,
) -> impl Filter<Extract = (impl Reply,), Error = warp::Rejection> + Clone + Send + Sync + 'static {
    let metrics = warp::path!("metrics").map(move || metrics(&registry));
    let healthz = warp::path!("healthz").map(|| text(StatusCode::OK, "ok\n".to_owned()));
    let readyz = warp::path!("readyz").map(move || match readiness.pending().as_slice() {
        [] => text(StatusCode::OK, "ok\n".to_owned()),
        pending => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", pending.join(", "))),
    });
    warp::get().and(metrics.or(healthz).unify().or(readyz).unify())
}

fn metrics(registry: &Registry) -> Response<String> {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(body) => {
            let mut response = text(StatusCode::OK, body);
            if let Ok(kind) = TextEncoder::new().format_type().parse() {
                response.headers_mut().insert(warp::http::header::CONTENT_TYPE, kind);
            }
            response
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(path: &str, readiness: &Readiness) -> (StatusCode, String) {
        let registry = crate::metrics::registry("test", "1.2.3").unwrap();
        let answer = warp::test::request().path(path).reply(&routes(registry, readiness.clone())).await;
        (answer.status(), String::from_utf8_lossy(answer.body()).into_owned())
    }

    #[tokio::test]
    async fn readyz_says_what_is_pending_and_healthz_does_not_care() {
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

    #[tokio::test]
    async fn metrics_start_with_build_info() {
        let (status, body) = get("/metrics", &Readiness::default()).await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains(r#"seccomp_profile_build_info{component="test",version="1.2.3"} 1"#), "{body}");
    }
}
