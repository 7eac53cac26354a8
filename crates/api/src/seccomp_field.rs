//! `securityContext.seccompProfile` of a pod or a container, as far as it names files of the node.

use serde::Deserialize;

/// What a pod or a container has of `securityContext.seccompProfile`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SeccompField {
    /// The file that it runs under.
    pub(crate) localhost_profile: Option<String>,
    /// What has another shape than is known counts as absent: the field is alpha, and one pod that cannot be read would end
    /// the watch of all pods.
    #[serde(deserialize_with = "crate::lenient::field")]
    oci: Option<OciField>,
}

/// A profile that the runtime gets from a registry (KEP-6061), within a base that may be a file of the node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OciField {
    base_profile: Option<BaseField>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BaseField {
    localhost_profile: Option<String>,
}

impl SeccompField {
    /// The files that a runtime reads for it.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        let base = self.oci.as_ref().and_then(|oci| oci.base_profile.as_ref()?.localhost_profile.as_deref());
        self.localhost_profile.as_deref().into_iter().chain(base)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_the_alpha_api_that_has_another_shape_hides_no_file() {
        for (oci, files) in [
            (
                json!({ "baseProfile": { "localhostProfile": "base" }, "ref": "r" }),
                ["own", "base"].as_slice(),
            ),
            (json!({ "baseProfile": { "localhostProfile": 5 } }), &["own"]),
            (json!({ "baseProfile": "base" }), &["own"]),
            (json!({ "baseProfile": null }), &["own"]),
            (json!("r"), &["own"]),
            (json!(5), &["own"]),
            (json!(null), &["own"]),
        ] {
            let field = json!({ "type": "OCI", "localhostProfile": "own", "oci": oci });
            let read: SeccompField = serde_json::from_str(&field.to_string()).unwrap();
            assert_eq!(read.files().collect::<Vec<_>>(), files, "{field}");
        }
    }
}
