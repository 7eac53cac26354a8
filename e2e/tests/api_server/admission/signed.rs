//! Profiles of images that must be signed.

use registry::testing::Signer;

use super::images::{SHOP, Shop, of, profile};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_nobody_has_signed_means_the_default_or_a_refusal_by_value() {
    let (signer, folder) = (Signer::new(), tempfile::tempdir().unwrap());
    let path = folder.path().join("keys.pem");
    std::fs::write(&path, signer.public_key()).unwrap();
    let keys = format!("--signature-keys={}", path.display());
    for unusable in ["baseline", "refuse"] {
        let more = [&*keys, &format!("--unusable={unusable}")];
        let values = ["admission.images.secrets.everywhere=true"];
        let shop = Shop::with(&values, &more, |images| {
            let digest = images.labelled("signed", "amd64", Some(&profile("getuid")));
            images.sign(&digest, &signer.bundle(&digest));
        })
        .await;
        let (pod, warnings) =
            shop.create(&Shop::pod("signed", json!([shop.container("main", "signed")]))).await;
        assert!(of(&pod["spec"]["containers"][0]).starts_with("profiles/sha256-"), "{pod}");
        assert_eq!(warnings, Vec::<String>::new());
        // An image that carries no profile needs no signature.
        let (pod, _) = shop.create(&Shop::pod("plain", json!([shop.container("main", "plain")]))).await;
        assert_eq!(of(&pod["spec"]["containers"][0]), "none");
        let path = format!("/api/v1/namespaces/{SHOP}/pods");
        let bare = Shop::pod("bare", json!([shop.container("main", "reads")]));
        let (code, warnings, answer) = shop.scene.send("POST", &path, "application/json", &bare).await;
        match unusable {
            "baseline" => {
                assert_eq!((code, of(&answer["spec"]["containers"][0])), (201, "RuntimeDefault"), "{answer}");
                assert!(warnings[0].contains("it is not signed"), "{warnings:?}");
            }
            _ => {
                let message = answer["message"].as_str().unwrap();
                assert!(code != 201 && message.contains("it is not signed"), "{answer}");
            }
        }
        assert_eq!(shop.profiles().await.len(), 1);
    }
}
