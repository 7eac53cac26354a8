//! A manifest, an index or an image's configuration, from whatever registry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::document::{ImageConfig, MOST_ITEMS, is_strict};
use registry::{Document, platforms};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let value = serde_json::from_slice::<Value>(bytes).ok();
    if is_strict(bytes) {
        assert!(value.is_some(), "strict JSON is JSON");
    }
    // What the document does not need may be nested deeper than a tree of values can be, and is not decoded, as in Go.
    match (Document::read(bytes, None), value) {
        (Ok(Document::Image(manifest)), Some(value)) => {
            assert!(value.get("manifests").is_none_or(Value::is_null));
            assert_eq!(value["config"]["digest"], manifest.config.digest.to_string());
            let layers = value["layers"].as_array().map(Vec::len).unwrap_or_default();
            assert!(layers == manifest.layers.len() && layers <= MOST_ITEMS);
        }
        (Ok(Document::Index(index)), Some(value)) => {
            assert!(value.get("config").is_none_or(Value::is_null));
            assert_eq!(value["manifests"].as_array().map(Vec::len), Some(index.manifests.len()));
            if let Ok(found) = platforms(&index, &["amd64".to_owned()]) {
                assert!(!found.is_empty() && found.len() <= 16);
            }
        }
        (Ok(_), None) => {}
        (Err(error), _) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(config) = ImageConfig::read(bytes) {
        assert!(config.architecture.len() <= bytes.len());
    }
});
