//! A layer of an image, from whoever could push one: alone, and on top of itself, so that its whiteouts have something to
//! remove.
#![no_main]

use files::Files;
use image::{Archive, Image, Layer};
use libfuzzer_sys::fuzz_target;

const CONFIG: &[u8] = br#"{"architecture":"amd64","os":"linux"}"#;

fuzz_target!(|bytes: &[u8]| {
    // It need not be an archive; only panics count.
    let _ = Archive::new(bytes.to_vec(), Vec::new())
        .and_then(|archive| Image::open(&archive, None, Vec::new(), &mut |_, _, _| {}));
    let layers = [bytes, bytes].map(|bytes| Ok(Layer { digest: None, bytes: Box::new(bytes) }));
    let Ok(image) = Image::of(CONFIG, layers, Vec::new()) else { return };
    let mut left = vec![String::new()];
    while let Some(directory) = left.pop() {
        for name in image.names(&directory) {
            assert!(!name.is_empty() && name != "." && name != ".." && !name.contains('/'), "{name:?}");
            let path = format!("{directory}/{name}");
            if image.entry(&path) == Some(files::Entry::Directory) {
                left.push(path);
            } else if let Some(path) = files::resolve(&image, &path) {
                let _ = image.read(&path, 1 << 20);
            }
        }
    }
});
