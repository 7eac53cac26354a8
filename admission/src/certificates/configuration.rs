//! The webhook configuration, as far as certificates are concerned.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use serde_json::{Value, json};

use super::bundle::Bundle;

/// The names of a configuration's webhooks, and the certificates by which the API server trusts each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    version: String,
    webhooks: Vec<(String, Bundle)>,
}

impl Configuration {
    /// The configuration in an object.
    #[must_use]
    pub fn of(object: &ValidatingWebhookConfiguration) -> Self {
        let webhooks = object.webhooks.iter().flatten().map(|webhook| {
            let text = webhook.client_config.ca_bundle.as_ref().map(|text| &text.0[..]);
            (webhook.name.clone(), Bundle::parse(text.unwrap_or_default()))
        });
        Self {
            version: object.metadata.resource_version.clone().unwrap_or_default(),
            webhooks: webhooks.collect(),
        }
    }

    /// Whether there is a webhook at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.webhooks.is_empty()
    }

    /// The certificates of all webhooks.
    #[must_use]
    pub fn bundle(&self) -> Bundle {
        let mut all = self.webhooks.iter().map(|(_, bundle)| bundle);
        let first = all.next().cloned().unwrap_or_default();
        all.fold(first, |all, next| {
            let ids: Vec<_> =
                all.ids().into_iter().chain(next.ids().into_iter().filter(|id| !all.contains(*id))).collect();
            all.choose(next, &ids)
        })
    }

    /// Whether all webhooks have the same certificates.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.webhooks.windows(2).all(|pair| pair[0].1.ids() == pair[1].1.ids())
    }

    /// The JSON patch that gives every webhook this bundle. The API server refuses it if the object has changed, so that no
    /// other certificate is lost.
    #[must_use]
    pub fn patch(&self, bundle: &Bundle) -> Value {
        let text = ByteString(bundle.text().into_bytes());
        let mut operations =
            vec![json!({ "op": "test", "path": "/metadata/resourceVersion", "value": self.version })];
        for (at, (name, _)) in self.webhooks.iter().enumerate() {
            operations.extend([
                json!({ "op": "test", "path": format!("/webhooks/{at}/name"), "value": name }),
                json!({ "op": "add", "path": format!("/webhooks/{at}/clientConfig/caBundle"), "value": text }),
            ]);
        }
        operations.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bundles: &[&[&[u8]]]) -> Configuration {
        let webhooks = bundles.iter().enumerate().map(|(at, certificates)| {
            let mut bundle = Bundle::default();
            certificates.iter().for_each(|der| bundle.add(der));
            json!({
                "name": format!("w{at}.example.org"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": { "caBundle": ByteString(bundle.text().into_bytes()) },
            })
        });
        let object = json!({
            "metadata": { "name": "it", "resourceVersion": "7" }, "webhooks": webhooks.collect::<Vec<_>>(),
        });
        Configuration::of(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn every_webhook_gets_the_same_bundle_unless_the_object_has_changed() {
        let found = configuration(&[&[b"one", b"two"], &[b"two", b"three"], &[]]);
        assert!(!found.is_uniform() && !found.is_empty());
        let bundle = found.bundle();
        assert_eq!(bundle.ids().len(), 3);
        let patch = found.patch(&bundle);
        let text = json!(ByteString(bundle.text().into_bytes()));
        assert_eq!(patch[0], json!({ "op": "test", "path": "/metadata/resourceVersion", "value": "7" }));
        assert_eq!(patch[5], json!({ "op": "test", "path": "/webhooks/2/name", "value": "w2.example.org" }));
        assert_eq!(
            patch[6],
            json!({ "op": "add", "path": "/webhooks/2/clientConfig/caBundle", "value": text })
        );
        assert_eq!(patch.as_array().unwrap().len(), 7);
        assert!(configuration(&[&[b"one"], &[b"one"]]).is_uniform());
        assert!(configuration(&[]).is_empty());
    }
}
