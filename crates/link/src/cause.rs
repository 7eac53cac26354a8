//! Errors in one line with all their causes.

use std::error::Error;

use kube::core::Status;

use crate::tls;

/// The messages of `error` and all its causes, each once. The answer of an API server appears as its code, reason and
/// message, where kube would print the whole object; an unsupported certificate with the name of its algorithm.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    if let Some(status) = answer(error) {
        return match &*status.reason {
            "" => format!("{}: {}", status.code, status.message),
            reason => format!("{} {reason}: {}", status.code, status.message),
        };
    }
    if let Some(explained) = tls::explain(error) {
        return explained;
    }
    let text = error.to_string();
    let Some(cause) = error.source() else { return text };
    let (cause_text, cause) = (cause.to_string(), chain(cause));
    match text.rfind(&cause_text) {
        Some(at) => format!("{}{cause}{}", &text[..at], &text[at + cause_text.len()..]),
        None => format!("{text}: {cause}"),
    }
}

/// The answer of an API server, if the error is nothing else.
fn answer<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Status> {
    match error.downcast_ref() {
        Some(kube::Error::Api(status)) => Some(status),
        _ => error.downcast_ref::<Box<Status>>().map(|status| &**status),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::ListParams;
    use kube::{Api, Config};
    use kube_runtime::watcher;
    use tokio::net::TcpListener;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("refused: {0}")]
    struct Refused(#[source] kube::Error);

    fn status(code: u16, reason: &str, message: &str) -> Box<Status> {
        Status { code, ..Status::failure(message, reason) }.boxed()
    }

    #[test]
    fn an_api_servers_answer_is_its_code_reason_and_message_wherever_it_is_wrapped() {
        let forbidden = || kube::Error::Api(status(403, "Forbidden", "pods is forbidden"));
        assert_eq!(chain(&forbidden()), "403 Forbidden: pods is forbidden");
        assert_eq!(chain(&Refused(forbidden())), "refused: 403 Forbidden: pods is forbidden");
        assert_eq!(
            chain(&watcher::Error::InitialListFailed(forbidden())),
            "failed to perform initial object list: 403 Forbidden: pods is forbidden"
        );
        assert_eq!(
            chain(&watcher::Error::WatchError(status(410, "Expired", "too old"))),
            "error returned by apiserver during watch: 410 Expired: too old"
        );
        assert_eq!(chain(&kube::Error::Api(status(502, "", "no"))), "502: no");
    }

    #[tokio::test]
    async fn a_failed_connection_is_described_to_the_last_cause() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = Config::new(format!("http://{address}").parse().unwrap());
        let namespaces = Api::<Namespace>::all(crate::client::client(config).unwrap());
        let error = namespaces.list(&ListParams::default()).await.unwrap_err();
        assert_eq!(
            chain(&Refused(error)),
            "refused: ServiceError: client error (Connect): tcp connect error: Connection refused (os error 111)"
        );
    }
}
