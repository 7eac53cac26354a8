//! The webhook configuration, as far as certificates are concerned.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::Resource;
use serde_json::{Value, json};

use super::bundle::Bundle;

/// One of the two kinds of webhook configurations.
pub trait Webhooks {
    /// The names of the webhooks, and how the API server calls each.
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Webhooks for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|webhook| (&*webhook.name, &webhook.client_config)).collect()
    }
}

impl Webhooks for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks.iter().flatten().map(|webhook| (&*webhook.name, &webhook.client_config)).collect()
    }
}

/// The names of a configuration's webhooks, and the certificates by which the API server trusts each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    version: String,
    webhooks: Vec<(String, Bundle)>,
}

impl Configuration {
    /// The configuration in an object.
    #[must_use]
    pub fn of(object: &(impl Webhooks + Resource)) -> Self {
        let webhooks = object.webhooks().into_iter().map(|(name, client)| {
            let text = client.ca_bundle.as_ref().map(|text| &text.0[..]);
            (name.to_owned(), Bundle::parse(text.unwrap_or_default()))
        });
        let webhooks = webhooks.collect();
        Self { version: object.meta().resource_version.clone().unwrap_or_default(), webhooks }
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

    /// Whether every webhook has exactly these certificates.
    #[must_use]
    pub fn has_exactly(&self, bundle: &Bundle) -> bool {
        self.webhooks.iter().all(|(_, held)| held.ids() == bundle.ids())
    }

    /// Those of these certificates that every webhook has.
    #[must_use]
    pub fn common_with(&self, bundle: &Bundle) -> Bundle {
        self.webhooks.iter().fold(bundle.clone(), |common, (_, held)| common.common_with(held))
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
        Configuration::of(&serde_json::from_value::<ValidatingWebhookConfiguration>(object).unwrap())
    }

    #[test]
    fn a_second_configuration_has_the_bundle_of_the_first_one_or_gets_it() {
        let first = configuration(&[&[b"one", b"two"]]).bundle();
        assert!(configuration(&[&[b"one", b"two"]]).has_exactly(&first));
        for other in [&[&[b"one" as &[u8]] as &[&[u8]]][..], &[&[b"one", b"two"], &[b"one"]], &[&[]]] {
            assert!(!configuration(other).has_exactly(&first));
        }
        assert!(configuration(&[]).has_exactly(&first));
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
