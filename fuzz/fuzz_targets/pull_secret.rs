//! A pull secret, and the logins that it has for some repositories.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::{Keyring, Login, PullSecret, Reference};

fuzz_target!(|bytes: &[u8]| {
    for secret in [PullSecret::DockerConfigJson(bytes), PullSecret::DockerConfig(bytes)] {
        let keyring = match Keyring::new(&[secret, secret]) {
            Ok(keyring) => keyring,
            Err(error) => {
                assert_eq!(error.secret, 0, "the second is like the first");
                continue;
            }
        };
        for image in
            ["a.example/team/app", "a.example:5000/app", "busybox", "localhost/app", "[fd00::5]:5000/app"]
        {
            let reference = Reference::parse(image).expect("a reference");
            let found = keyring.find(reference.repository());
            // Equal secrets have equal logins, as many of the one as of the other.
            let of = |secret: usize| found.iter().filter(move |it| it.secret == secret).map(|it| it.login);
            assert!(of(0).eq(of(1)), "{image}");
            // A login's text is somewhere in the secret, unless it was encoded.
            for login in of(0) {
                assert!(!matches!(login, Login::RefreshToken(_)));
            }
        }
    }
});
