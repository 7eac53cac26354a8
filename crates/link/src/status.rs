//! Writes a part of an object's status, without receiving the object in return.

use http::{HeaderValue, Request, header};
use kube::Resource;
use kube::api::{Patch, PatchParams};
use kube::core::{ClusterResourceScope, Request as Requests};
use serde::Serialize;

/// An answer to a patch holds all that was just sent, unless the request says that the metadata are enough.
const METADATA_ONLY: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");

/// An object of which nothing is named but its status.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusAlone<S> {
    api_version: String,
    kind: String,
    metadata: Name,
    status: S,
}

#[derive(Debug, Clone, Serialize)]
struct Name {
    name: String,
}

/// The request that applies `status` to the object called `name`, for the field manager `manager`. It is answered with
/// a [`PartialObjectMeta`](kube::core::PartialObjectMeta).
///
/// # Errors
/// The request could not be built.
pub fn apply<K, S>(name: &str, manager: &str, status: S) -> Result<Request<Vec<u8>>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    S: Serialize,
{
    patch::<K, S>(name, &PatchParams::apply(manager).force(), status, Patch::Apply)
}

/// Like [`apply`], with another kind of patch.
///
/// # Errors
/// Like [`apply`].
pub fn patch<K, S>(
    name: &str,
    params: &PatchParams,
    status: S,
    patch: fn(StatusAlone<S>) -> Patch<StatusAlone<S>>,
) -> Result<Request<Vec<u8>>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    S: Serialize,
{
    let object = StatusAlone {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        metadata: Name { name: name.to_owned() },
        status,
    };
    let mut request = Requests::new(K::url_path(&(), None))
        .patch_subresource("status", name, params, &patch(object))
        .map_err(kube::Error::BuildRequest)?;
    request.headers_mut().insert(header::ACCEPT, METADATA_ONLY);
    Ok(request)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;

    use super::*;

    #[test]
    fn nothing_but_the_status_is_sent_and_nothing_but_metadata_requested() {
        let request = apply::<Node, _>("node-1", "agent", [("phase", "Running")]).unwrap();
        assert_eq!(request.uri(), "/api/v1/nodes/node-1/status?&force=true&fieldManager=agent");
        assert_eq!(request.method(), "PATCH");
        assert_eq!(request.headers()["content-type"], "application/apply-patch+yaml");
        assert_eq!(
            request.headers()["accept"],
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        );
        assert_eq!(
            std::str::from_utf8(request.body()).unwrap(),
            r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1"},"status":[["phase","Running"]]}"#
        );
    }
}
